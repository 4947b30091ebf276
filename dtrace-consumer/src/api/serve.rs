//! What does a worker that runs as root do for an unprivileged user?
//!
//! sudo(8) or doas(1) start `dtrace-worker serve` for an [elevated](crate::elevation::Elevation) session. It
//! serves one session over its standard input, for the user who owns that channel according to the kernel.
//! The user can trace, which means reading whatever the kernel can read. The user can neither change
//! anything, nor run anything, nor make the worker read files:
//!
//! - No environment variable and nothing in the user's request determines which libdtrace, D libraries or
//!   loader are used. They are the system's, those in [`SYSTEM_PREFIX`], or those of the prefix in the
//!   [`CONFIGURATION`] file. All of them, and every directory above them, must belong to root, and nobody
//!   else may have write permission.
//! - The worker refuses the D preprocessor, which reads files, and options that name files or that it does
//!   not know, whether the request or a pragma sets them. It also refuses `setopt()`.
//! - Actions that change something require `destructive = yes` in the configuration, besides the option.
//! - It starts no processes. The process to trace must belong to the user. Stopping one and setting
//!   breakpoints in it, as `pid$target` probes and [`grab`](crate::Session::grab) do, requires `grab = yes`.
//! - Requests and buffers have upper limits.
//!
//! The configuration file is optional and must belong to root. It has lines like these:
//!
//! ```text
//! # the prefix of libdtrace; the default is the system's, or the one in /usr/local/lib/dtrace-worker
//! prefix = /opt/libdtrace
//! destructive = yes
//! grab = yes
//! ```

pub use crate::stream::elevated::{CONFIGURATION, SYSTEM_PREFIX, UNDER_LOADER};
pub use crate::worker::elevated::serve;
