//! Raw bindings to libdtrace, the library behind DTrace, loaded at run time.
//!
//! This crate holds what C's headers hold, for programs that build something safe on it
//! (`dtrace-consumer` is one): types, constants and a table of functions. It makes no decisions,
//! allocates nothing but the text of errors and never panics.
//!
//! ```no_run
//! use dtrace_sys::{Library, abi};
//! use std::ffi::CStr;
//!
//! // SAFETY: the system's libdtrace is what is looked for; nothing else here uses it.
//! let library = unsafe { Library::load(None)? };
//! println!("libdtrace {}", library.version_text().to_string_lossy());
//!
//! let dtrace = library.api();
//! let mut error = 0;
//! // SAFETY: `error` may be written to, and an error's text is copied at once.
//! unsafe {
//!     let handle = (dtrace.dtrace_open)(abi::DTRACE_VERSION, 0, &raw mut error);
//!     if handle.is_null() {
//!         let text = CStr::from_ptr((dtrace.dtrace_errmsg)(handle, error));
//!         return Err(text.to_string_lossy().into_owned().into());
//!     }
//!     (dtrace.dtrace_close)(handle);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Platforms
//! The libraries of Linux, illumos, FreeBSD and macOS have one interface in name and four in
//! memory: structures, numbers and some declarations differ, so that a wrong one crashes or, worse,
//! reads another field. Hence each has a complete module in [`platform`], and [`abi`] is that of the
//! target. All modules compile on every host, so that their layouts are checked wherever the crate
//! is built, and `RUSTFLAGS='--cfg dtrace_abi="freebsd"'` compiles everything for another one.
//!
//! | module | library | how its layouts are known |
//! |---|---|---|
//! | [`linux`](platform::linux) | `libdtrace.so.2`, 2.0.7 | headers, debugging information, and run |
//! | [`illumos`](platform::illumos) | `libdtrace.so.1` | sources |
//! | [`freebsd`](platform::freebsd) | `libdtrace.so.2`, since 2024 | sources |
//! | [`macos`](platform::macos) | `/usr/lib/libdtrace.dylib` | sources |
//!
//! # Versions
//! Linux's libdtrace changed its structures without changing its SONAME or `DTRACE_VERSION`. So
//! [`Library`] reads `_dtrace_version` before anything else and accepts exactly the versions in
//! [`SUPPORTED_VERSIONS`](platform::linux::SUPPORTED_VERSIONS); any other is [`LoadError::UnsupportedVersion`]. On the other
//! platforms the library is a part of the system, says nothing of use about its structures, and is
//! believed.
//!
//! # Features
//! None is on by default, and without them nothing of DTrace is needed to build.
//! - `linked`: link with libdtrace instead of loading it (`Library::linked`). `DTRACE_LIB_DIR`
//!   names the directory where the linker finds it, if it does not by itself.
//! - `bindgen`: generate Linux's bindings from the headers in `DTRACE_INCLUDE_DIR` (by default
//!   `/usr/include`) as module `generated`, which tests compare with [`linux`](platform::linux). It is not used
//!   otherwise: the headers lack the aggregating functions' numbers, and Debian's do not even
//!   compile without a file `sys/ctf-api.h`, which is in `shim/`. `check-bindings.sh` does it all.
//!
//! # Traps
//! C's documentation does not say these; functions and structures repeat them where they matter.
//! - Linux: **one `dtrace_go` in a process's life**; a process for each session is the only way.
//! - Linux: compile all programs, then `dtrace_handle_err`, then `dtrace_program_exec` for all. In
//!   another order the heap overflows.
//! - Linux: a `NULL` string in a probe description given to the library crashes.
//! - Linux: it may `abort` or `exit` where others return an error.
//! - `DTRACE_CONSUME_ABORT`, `DTRACE_AGGWALK_REMOVE`, `DTRACE_O_LP64` and the aggregating functions
//!   have other numbers on Linux than elsewhere: never write them as literals.
//! - A callback must not unwind.
//! - The library is not thread-safe: one call into a handle at a time, and one compilation at a
//!   time in the process.
#![allow(non_camel_case_types, non_snake_case)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("dtrace-sys knows libdtrace's structures for 64-bit targets only");
#[cfg(not(any(
    dtrace_abi = "linux",
    dtrace_abi = "freebsd",
    dtrace_abi = "macos",
    dtrace_abi = "illumos"
)))]
compile_error!("dtrace-sys knows libdtrace on Linux, FreeBSD, macOS and illumos only");

mod api;
mod library;
pub mod platform;
mod version;

pub use api::{Api, dtrace_aggkey_t, dtrace_aggvalue_t};
pub use library::{Library, LoadError};
#[cfg(dtrace_abi = "freebsd")]
pub use platform::freebsd as abi;
#[cfg(dtrace_abi = "illumos")]
pub use platform::illumos as abi;
#[cfg(dtrace_abi = "linux")]
pub use platform::linux as abi;
#[cfg(dtrace_abi = "macos")]
pub use platform::macos as abi;
pub use version::{ParseVersionError, Version};

/// What bindgen makes of the installed headers: to compare with [`linux`](platform::linux), not to use.
#[cfg(feature = "bindgen")]
#[allow(missing_docs, non_upper_case_globals, unsafe_op_in_unsafe_fn, unreachable_pub)]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks)]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
