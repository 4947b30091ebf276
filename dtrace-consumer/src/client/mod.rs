//! The user's side of a worker: launching it, talking to it, ending it.

pub(crate) mod admit;
mod admitted;
pub(crate) mod advise;
mod child;
mod command;
mod connection;
mod descriptors;
pub(crate) mod elevation;
mod hint;
pub(crate) mod inquiry;
mod job;
mod launch;
#[cfg(target_os = "linux")]
mod lossy;
mod near;
mod options;
mod patience;
pub(crate) mod preflight;
mod recording;
mod requests;
mod retry;
pub(crate) mod run;
pub(crate) mod selfcheck;
mod session;
pub(crate) mod settings;
mod standing;
mod start;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod statuses;
mod system;
pub(crate) mod template;
#[expect(unsafe_code, reason = "it runs code between fork and exec")]
mod terminal;
pub(crate) mod warm;
