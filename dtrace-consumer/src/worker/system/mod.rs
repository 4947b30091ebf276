//! What does a worker need of the operating system, besides libdtrace?
//!
//! One module for each system, with the same items; the rest of the worker names no system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    CreatedProcess, Peer, belongs_to, close_inherited_descriptors, confine, dropped_by_kernel,
    duplicate, end_tracing, give_up_privileges, let_run_to_gate, open_gate, outlive, peer_of,
    prepare, privileges_were_raised, wait_descriptors, watch_process,
};

use std::io;

/// Something that could not be arranged. It is not fatal by itself: libdtrace may work without.
#[derive(Debug)]
pub(crate) struct Shortcoming {
    pub(crate) attempt: &'static str,
    pub(crate) error: io::Error,
}
