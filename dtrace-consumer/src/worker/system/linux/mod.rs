//! What a worker requires of Linux.

mod built_probes;
#[expect(unsafe_code, reason = "it reads and writes the tables of a loaded library")]
mod called_function;
mod confinement;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod controllable;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod created_process;
#[expect(unsafe_code, reason = "it handles descriptors that libdtrace owns")]
mod descriptors;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod drop_counters;
mod held_process;
#[expect(unsafe_code, reason = "it maps a file")]
mod mapped_file;
mod mappings;
#[expect(unsafe_code, reason = "system calls without a safe wrapper")]
mod processes;
mod surroundings;
mod systemtap_notes;
mod uprobe_events;
#[expect(unsafe_code, reason = "libdtrace calls it in place of a function of the C library")]
mod uprobe_places;

pub(crate) use built_probes::{built_upon, may_be_built};
pub(crate) use confinement::{confine, give_up_privileges};
pub(crate) use controllable::{Controllable, limit_control};
pub(crate) use created_process::CreatedProcess;
pub(crate) use descriptors::{
    close_inherited_descriptors, duplicate, end_tracing, wait_descriptors,
};
pub(crate) use drop_counters::dropped_by_kernel;
pub(crate) use held_process::{let_run_to_gate, open_gate, outlive};
pub(crate) use processes::{Peer, belongs_to, peer_of, privileges_were_raised, watch_process};
pub(crate) use surroundings::prepare;
pub(crate) use uprobe_places::correct_probe_places;
