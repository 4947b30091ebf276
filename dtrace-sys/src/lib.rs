//! Raw bindings to libdtrace, the library behind DTrace, loaded at run time.
//!
//! This crate provides what C's headers contain: types, constants and a table of functions. Build something
//! safe on it, as `dtrace-consumer` does. It makes no decisions, allocates nothing but the text of errors,
//! and never panics.
//!
//! ```no_run
//! use dtrace_sys::{Library, abi};
//! use std::ffi::CStr;
//!
//! // SAFETY: this loads the system's libdtrace, and nothing else in this program uses it.
//! let library = unsafe { Library::load(None)? };
//! println!("libdtrace {}", library.version_text().to_string_lossy());
//!
//! let dtrace = library.api();
//! let mut error = 0;
//! // SAFETY: `error` is valid for writes, and an error's text is copied at once.
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
//! The libraries of Linux, illumos, FreeBSD and macOS share the names of their interface, but not its layout:
//! structures, numbers and some declarations differ. A wrong one crashes or, worse, reads another field. So
//! each platform has a complete module in [`platform`], and [`abi`] is that of the target. All modules
//! compile on every host, which checks their layouts wherever the crate is built. `RUSTFLAGS='--cfg
//! dtrace_abi="freebsd"'` compiles everything for another platform.
//!
//! | module | library | source of its layouts |
//! |---|---|---|
//! | [`linux`](platform::linux) | `libdtrace.so.2`, 2.0.7 | headers, debugging information, and tests |
//! | [`illumos`](platform::illumos) | `libdtrace.so.1` | sources |
//! | [`freebsd`](platform::freebsd) | `libdtrace.so.2`, since 2024 | sources, and tests on 12.1 and 15.1 |
//! | [`macos`](platform::macos) | `/usr/lib/libdtrace.dylib` | sources |
//!
//! # Versions
//! Linux's libdtrace changed its structures without changing its SONAME or `DTRACE_VERSION`. So [`Library`]
//! reads `_dtrace_version` before anything else. [`Library::load`] accepts exactly the versions in
//! [`KNOWN_VERSIONS`](platform::linux::KNOWN_VERSIONS), and rejects any other with
//! [`LoadError::UnsupportedVersion`]. [`Library::load_verified`] also accepts the one version that its caller has
//! verified, unless it is older than [`OLDEST_VERSION`](platform::linux::OLDEST_VERSION): those are known to
//! differ. On the other platforms the library is part of the system, and its version does not determine its
//! structures, so any version is accepted: the caller answers for it (`dtrace-consumer` has a self-check).
//!
//! # Features
//! No feature is on by default. Without them, building requires nothing of DTrace.
//! - `linked`: link with libdtrace instead of loading it (`Library::linked`). `DTRACE_LIB_DIR` names the
//!   directory of the library, if the linker does not find it.
//! - `bindgen`: generate Linux's bindings from the headers in `DTRACE_INCLUDE_DIR` (by default
//!   `/usr/include`) as module `generated`, which tests compare with [`linux`](platform::linux). It has no
//!   other use: the headers lack the numbers of the aggregating functions, and Debian's do not compile
//!   without a file `sys/ctf-api.h`, which is in `shim/`. `check-bindings.sh` performs the comparison.
//!
//! # Traps
//! C's documentation does not mention these. Functions and structures repeat them where they matter.
//! - Linux: **one `dtrace_go` in a process's life**. Each session needs its own process.
//! - Linux: compile all programs, then `dtrace_handle_err`, then `dtrace_program_exec` for all. In
//!   another order the heap overflows.
//! - Linux: a `NULL` string in a probe description given to the library crashes.
//! - Linux: the library may `abort` or `exit` where others return an error.
//! - `DTRACE_CONSUME_ABORT`, `DTRACE_AGGWALK_REMOVE`, `DTRACE_O_LP64` and the aggregating functions have
//!   other numbers on Linux than elsewhere: never write them as literals.
//! - A callback must not unwind.
//! - The library is not thread-safe: one call into a handle at a time, and one compilation at a
//!   time in the process.
#![allow(non_camel_case_types, non_snake_case)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("dtrace-sys supports 64-bit targets only");
#[cfg(not(any(
    dtrace_abi = "linux",
    dtrace_abi = "freebsd",
    dtrace_abi = "macos",
    dtrace_abi = "illumos"
)))]
compile_error!("dtrace-sys supports Linux, FreeBSD, macOS and illumos only");

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

/// The output of bindgen for the installed headers: only to compare with [`linux`](platform::linux).
#[cfg(feature = "bindgen")]
#[allow(missing_docs, non_upper_case_globals, unsafe_op_in_unsafe_fn, unreachable_pub)]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks)]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
