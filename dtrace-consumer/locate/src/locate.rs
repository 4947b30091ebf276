//! Which libdtrace does a session use?
//!
//! libdtrace is loaded at run time, so it has to be found. The first of these places decides:
//!
//! 1. the prefix that the caller names;
//! 2. the environment variable `DTRACE_CONSUMER_PREFIX`: a prefix, or the word `system`;
//! 3. the system's own library: the standard directories and those of the loader's cache;
//! 4. a directory named `libdtrace` beside the running program or in one of the four directories
//!    above it. So `target/libdtrace` serves `target/debug/examples/tool`, and an application can
//!    ship its own;
//! 5. the user's data directory, where `dtrace-worker install` puts one.
//!
//! The first two are orders: when they cannot be obeyed the search ends. The others are offers: a
//! missing or unsuitable one is noted and passed over.
//!
//! What is loaded here runs with the worker's privilege. So 4 and 5 are used only when they belong
//! to root, to the effective user or (4) to the owner of the program, and others cannot write to
//! them. Under sudo the data directory of the user who invoked it is *not* searched: name it with
//! the variable when that is what you want.
//!
//! The version is read from the file, without loading it: loading libdtrace runs its constructors,
//! and a version that is not supported must not get that far.
//!
//! libdtrace does not work with every path: one that contains whitespace, `#` or `à`, or in a private
//! prefix `:`, `;` or `$`, is refused as [`Refusal::UnusablePath`].

mod cache;
mod error;
mod image;
mod libdtrace;
mod loader;
mod origin;
mod processor;
mod refusal;
mod search;
mod system;
mod trust;

use std::path::Path;

pub use crate::prefix::PREFIX_NAME;
pub use error::{Candidate, LocateError};
pub(crate) use image::examine;
pub use libdtrace::Libdtrace;
pub use loader::Loader;
pub use origin::Origin;
pub use refusal::Refusal;
pub use search::Search;

/// The libdtrace releases whose structures this library knows. Linux's libdtrace changes its
/// structures between releases without changing its soname, so only tested releases are loaded.
pub const SUPPORTED_VERSIONS: &[&str] = &["2.0.7"];

/// The environment variable that names the prefix to use, or `system`.
pub const PREFIX_VARIABLE: &str = "DTRACE_CONSUMER_PREFIX";

/// Finds the libdtrace to use for this process; `prefix` is the caller's own choice.
///
/// # Errors
/// [`LocateError`] with every place that was searched.
pub fn locate(prefix: Option<&Path>) -> Result<Libdtrace, LocateError> {
    Search { caller: prefix.map(Path::to_owned), ..Search::of_this_process() }.run()
}
