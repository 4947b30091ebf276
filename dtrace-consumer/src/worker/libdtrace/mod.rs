//! How is libdtrace called, and how do its callbacks reach the worker?
//!
//! Everything here that the compiler cannot check is a call into C or from it. What is delivered goes to
//! a [`Sink`] as frames; nothing here knows what becomes of them.

mod aggregations;
mod clause;
mod compiling;
mod context;
mod delivered;
mod describe;
mod firing;
mod handle;
mod handlers;
mod memstream;
mod platform;
mod probes;
mod processes;
mod programs;
mod scripts;
mod sink;
mod symbols;
mod told;
mod tracing;
mod types;
mod usdt;

pub(crate) use compiling::Compiling;
pub(crate) use context::Wanted;
pub(crate) use handle::CallFailure;
pub(crate) use platform::{PLATFORM, places_by_cpu};
pub(crate) use sink::Sink;
pub(crate) use tracing::{Tracing, Work};
