//! What does a worker that runs as root do for a user who does not?
//!
//! `dtrace-worker serve` is what sudo(8) or doas(1) start for an [elevated](crate::elevation::Elevation) session. It
//! serves one session over its standard input, for the user to whom the kernel says that this channel
//! belongs. It lets that user trace, which is to read whatever the kernel can read; it does not let the user
//! change anything, run anything, or have files read:
//!
//! - No environment variable and nothing in the user's request decides which libdtrace, D libraries or
//!   loader are used. They are the system's, those in [`SYSTEM_PREFIX`], or those of the prefix in the
//!   [`CONFIGURATION`] file; and all of them must belong to root, with every directory above them, and nobody
//!   else may write to them.
//! - The D preprocessor, which reads files, and options that name files or are not known here, are refused,
//!   whether the request or a pragma sets them; so is `setopt()`.
//! - Actions that change something need `destructive = yes` in the configuration besides the option.
//! - It starts no processes. The process to trace must belong to the user. To stop one and set breakpoints
//!   in it, as `pid$target` probes and [`grab`](crate::Session::grab) do, needs `grab = yes`.
//! - Requests and buffers have upper limits.
//!
//! The configuration file is optional, must be root's, and has lines like these:
//!
//! ```text
//! # which libdtrace; without it the system's, or the one in /usr/local/lib/dtrace-worker
//! prefix = /opt/libdtrace
//! destructive = yes
//! grab = yes
//! ```

pub use crate::stream::elevated::{CONFIGURATION, SYSTEM_PREFIX, UNDER_LOADER};
#[cfg(target_os = "linux")]
pub use crate::worker::elevated::serve;

/// See there.
///
/// # Errors
/// Always: live tracing on this system is not implemented yet.
#[cfg(not(target_os = "linux"))]
pub fn serve(_under_loader: bool) -> Result<std::convert::Infallible, String> {
    Err(format!("live tracing on {} is not implemented yet", std::env::consts::OS))
}
