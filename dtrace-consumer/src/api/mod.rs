//! The public interface: sessions and queries.

#[cfg(feature = "live")]
pub(crate) mod command;
mod delivery;
pub(crate) mod events;
mod frames;
mod handlers;
#[cfg(feature = "live")]
pub(crate) mod live;
pub mod ndjson;
#[cfg(feature = "live")]
pub(crate) mod option;
#[cfg(feature = "live")]
mod output;
#[cfg(feature = "live")]
pub(crate) mod query;
pub(crate) mod recording;
pub(crate) mod replay;
mod rows;
#[cfg(feature = "live")]
mod script;
#[cfg(feature = "live")]
pub mod serve;
pub(crate) mod session;
#[cfg(feature = "live")]
pub(crate) mod settings;
#[cfg(feature = "futures")]
pub(crate) mod stream;
pub(crate) mod thread;
#[cfg(feature = "live")]
pub(crate) mod traced;
#[cfg(feature = "live")]
pub mod verify;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExample;
