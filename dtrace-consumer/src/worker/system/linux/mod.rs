//! What a worker requires of Linux.

mod confinement;
#[expect(unsafe_code, reason = "it handles descriptors that libdtrace owns")]
pub(in crate::worker) mod descriptors;
pub(in crate::worker) mod held_process;
mod lossy;
pub(in crate::worker) mod pid_namespace;
#[expect(unsafe_code, reason = "the auxiliary vector")]
pub(in crate::worker) mod processes;
pub(in crate::worker) mod status;
mod surroundings;
pub(in crate::worker) mod tracing_files;
pub(in crate::worker) mod uprobe_events;

pub(crate) use confinement::{Reach, Threads, confine, confine_before_opening, give_up_privileges};
pub(crate) use descriptors::{
    close_inherited_descriptors, end_tracing, let_go_of_sockets, renew_event, wait_descriptors,
};
pub(crate) use held_process::{end_held, is_traced, let_run_to_gate, open_gate, outlive};
pub(crate) use processes::{
    Peer, WATCH, belongs_to, has_one_thread, identity_of, peer_of, privileges_of,
    privileges_were_raised, watch_process,
};
pub(crate) use surroundings::{Surroundings, try_opening_first};
