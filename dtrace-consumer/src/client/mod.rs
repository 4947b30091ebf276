//! How does the user's process launch, mind and end a worker?

mod command;
mod connection;
pub(crate) mod elevation;
pub(crate) mod inquiry;
mod job;
mod launch;
pub(crate) mod near;
mod options;
mod patience;
pub(crate) mod preflight;
mod recording;
mod requests;
mod retry;
pub(crate) mod run;
mod session;
pub(crate) mod settings;
mod system;
#[expect(unsafe_code, reason = "it runs code between fork and exec")]
mod terminal;
