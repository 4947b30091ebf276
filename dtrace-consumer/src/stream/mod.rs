//! How does what DTrace says travel from the worker to the user's closures?
//!
//! As a stream of [frames](frame): over a socket while tracing, from a file when a recording is
//! replayed. The worker forwards bytes with their descriptions; the user's side decodes them.

pub(crate) mod compile_flags;
pub(crate) mod elevated;
mod encoding;
pub(crate) mod frame;
pub(crate) mod job;
pub(crate) mod marker;
pub(crate) mod payload;
pub(crate) mod reader;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
