//! Calls into libdtrace, and its callbacks.
//!
//! The unsafe code of the worker is here: it calls C and is called by it. Data go to a [`Sink`] as frames;
//! this module does not depend on what happens to them.

mod aggregations;
#[cfg(dtrace_abi = "linux")]
mod bpf_maps;
mod clause;
mod compiling;
mod context;
mod delivered;
mod describe;
mod entries;
mod firing;
mod handle;
mod handlers;
mod kernel_maps;
mod kernel_walk;
mod memstream;
mod named_text;
mod platform;
mod printed;
mod printf;
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

#[cfg(dtrace_abi = "linux")]
pub(crate) use bpf_maps::{BpfMap, own_maps};
pub(crate) use compiling::{Compiling, Loaded};
pub(crate) use context::Wanted;
pub(crate) use handle::{CallFailure, Closing};
pub(crate) use kernel_maps::KernelMaps;
#[cfg(dtrace_abi = "linux")]
pub(crate) use kernel_maps::{Contents, MapContents, Watched, aggregation_of, generation_of};
pub(crate) use platform::{PLATFORM, REPORTS_ENDS, defaults};
pub(crate) use sink::Sink;
pub(crate) use tracing::{Tracing, Work};
