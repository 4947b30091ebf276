//! What a worker requires of the operating system, besides libdtrace.
//!
//! There is one module for each system, with the same items. The rest of the worker is independent of the
//! system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    AggregationMaps, Answering, ConsumerIdentity, Controllable, Peer, PidView, Reach, Surroundings,
    Threads, activity, belongs_to, built_upon, close_inherited_descriptors, come_between, confine,
    confine_before_opening, dropped_by_kernel, duplicate, end_tracing, fire_only_on,
    give_up_privileges, has_begun, have_data, hidden_addresses, inode_of_input, is_attached,
    is_traced, keep_descriptors, lacks_its_end, let_go_of_sockets, let_run_to_gate, let_wait,
    limit_control, may_be_built, may_be_built_on_functions, open_gate, open_standard_descriptors,
    outlive, peer_of, prepare_to_let_wait, privileges_of, privileges_were_raised, refused_a_view,
    renew_event, silenced_functions, try_opening_first, uprobe_type, wait_descriptors, was_let_go,
    watch_attachments, watch_buffers, watch_process, why_unfired,
};

use std::io;

/// A preparation that failed. That alone is not fatal: libdtrace may work without it.
#[derive(Debug, Clone)]
pub(crate) struct Shortcoming {
    pub(crate) attempt: &'static str,
    pub(crate) reason: String,
}

impl Shortcoming {
    fn new(attempt: &'static str, error: impl Into<io::Error>) -> Shortcoming {
        Shortcoming { attempt, reason: error.into().to_string() }
    }
}
