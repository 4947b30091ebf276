//! How does a program set up, run and ask?

mod command;
mod delivery;
pub(crate) mod events;
mod handlers;
mod live;
pub(crate) mod option;
pub(crate) mod query;
pub(crate) mod replay;
mod script;
pub mod serve;
pub(crate) mod session;
mod settings;
pub(crate) mod thread;
