//! How do records travel from the worker to the user's closures?
//!
//! As a stream of [frames](frame): through a socket while tracing, from a file on replay. The worker forwards
//! bytes with their descriptions. The user's side decodes them.

#[cfg(feature = "live")]
pub(crate) mod compile_flags;
pub(crate) mod compressed;
pub(crate) mod contents;
#[cfg(feature = "live")]
pub(crate) mod elevated;
mod encoding;
pub(crate) mod frame;
#[cfg(feature = "live")]
pub(crate) mod job;
#[cfg(feature = "live")]
pub(crate) mod marker;
pub(crate) mod packed;
#[cfg(feature = "live")]
pub(crate) mod passing;
pub(crate) mod payload;
pub(crate) mod reader;
#[cfg(all(test, feature = "live"))]
pub(crate) mod strategies;
#[cfg(feature = "live")]
pub(crate) mod template;
#[cfg(all(test, feature = "live"))]
mod tests;
#[cfg(feature = "live")]
pub(crate) mod unnamed;
pub(crate) mod wire;
