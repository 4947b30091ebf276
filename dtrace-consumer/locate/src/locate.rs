//! Which libdtrace does a session use?
//!
//! libdtrace is loaded at run time. The first of these places that has a usable one decides:
//!
//! 1. the prefix that the caller names;
//! 2. the environment variable `DTRACE_CONSUMER_PREFIX`: a prefix, or the word `system`;
//! 3. the system's own library: the standard directories and those of the loader's cache;
//! 4. a directory named `libdtrace` beside the running program or in one of the four directories
//!    above it. So `target/libdtrace` serves `target/debug/examples/tool`, and an application can
//!    ship its own;
//! 5. the user's data directory, where `dtrace-worker install` puts one.
//!
//! The first two are orders: if an order cannot be obeyed, the search fails. The others are offers: a
//! missing or unsuitable libdtrace is noted and skipped.
//!
//! The library runs with the worker's privilege. So places 4 and 5 are used only if they belong to
//! root, to the effective user or (4) to the owner of the program, and are not world-writable. Under
//! sudo the data directory of the invoking user is *not* searched; name it with the variable if you
//! want it.
//!
//! The version is read from the file before loading it, because loading runs libdtrace's
//! constructors, and those of an unsupported version must not run. A version may be *known*, *unverified*
//! ([`Standing`]) or refused ([`Refusal::Version`]). This crate verifies nothing: the caller of
//! [`Search::trace_admitting`] decides which unverified libraries to use.
//!
//! libdtrace does not support every path. Paths with whitespace, `#` or `à` are refused as
//! [`Refusal::UnusablePath`], and so are those of more than 1900 bytes; in a private prefix, so are `:`, `;`
//! and `$`.

mod cache;
mod error;
mod identity;
mod image;
mod libdtrace;
mod loader;
mod origin;
mod processor;
mod refusal;
mod search;
mod system;
mod trust;
mod version;

use std::path::Path;

pub use crate::path::PathProblem;
pub use crate::prefix::PREFIX_NAME;
pub use error::{Candidate, LocateError};
#[doc(hidden)]
pub use identity::digest;
pub(crate) use image::examine;
pub use libdtrace::Libdtrace;
pub use loader::Loader;
pub use origin::Origin;
pub use refusal::Refusal;
pub use search::Search;
pub use version::Standing;
pub(crate) use version::standing;

/// The releases of Linux's libdtrace whose structures are known. It changes its structures between
/// releases without changing its soname. A release that is not among these, and not older than
/// [`OLDEST_VERSION`], is [`Standing::Unverified`]: it must pass a self-check first. The libdtraces of FreeBSD, macOS
/// and illumos always must: their versions do not tell their structures.
pub const KNOWN_VERSIONS: &[&str] = &["2.0.7"];

/// The oldest release that may have the structures of the known ones. Those of older releases differ.
pub const OLDEST_VERSION: &str = "2.0.6";

/// The environment variable that names the prefix to use, or `system`.
pub const PREFIX_VARIABLE: &str = "DTRACE_CONSUMER_PREFIX";

/// Finds the libdtrace to use for this process; `prefix` is the caller's choice.
///
/// # Errors
/// [`LocateError`] with every place that was searched.
pub fn locate(prefix: Option<&Path>) -> Result<Libdtrace, LocateError> {
    Search { caller: prefix.map(Path::to_owned), ..Search::of_this_process() }.run()
}
