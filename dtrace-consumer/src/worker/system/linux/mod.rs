//! What a worker requires of Linux.

#[expect(unsafe_code, reason = "it answers libdtrace in place of the kernel")]
mod aggregation_maps;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod attachments;
#[expect(unsafe_code, reason = "it calls functions of libdtrace that have no names")]
mod begin_and_end;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod bpf;
#[expect(unsafe_code, reason = "a wait whose raw status is passed on")]
mod breakpoints;
mod built_probes;
#[expect(unsafe_code, reason = "it reads and writes the tables of a loaded library")]
mod called_function;
mod confinement;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod consumer_identity;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod controllable;
#[expect(unsafe_code, reason = "it handles descriptors that libdtrace owns")]
mod descriptors;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod drop_counters;
mod empty_function;
mod held_process;
#[expect(unsafe_code, reason = "libdtrace calls it in place of a function of the C library")]
mod kernel_calls;
mod kernel_settings;
mod lossy;
#[expect(unsafe_code, reason = "it maps a file")]
mod mapped_file;
mod mappings;
mod pid_view;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod process_reads;
#[expect(unsafe_code, reason = "the auxiliary vector")]
mod processes;
mod status;
mod surroundings;
mod systemtap_notes;
mod uprobe_events;
#[expect(unsafe_code, reason = "it reads what libdtrace passes to the kernel")]
mod uprobe_places;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod wake_ups;

pub(crate) use aggregation_maps::AggregationMaps;
pub(crate) use attachments::{is_attached, keep_descriptors, was_let_go, watch_attachments};
pub(crate) use begin_and_end::{fire_only_on, has_begun, lacks_its_end, why_unfired};
pub(crate) use built_probes::{built_upon, may_be_built, may_be_built_on_functions};
pub(crate) use confinement::{Reach, Threads, confine, confine_before_opening, give_up_privileges};
pub(crate) use consumer_identity::{Answering, ConsumerIdentity};
pub(crate) use controllable::{Controllable, limit_control};
pub(crate) use descriptors::{
    close_inherited_descriptors, duplicate, end_tracing, inode_of_input, let_go_of_sockets,
    open_standard_descriptors, renew_event, wait_descriptors,
};
pub(crate) use drop_counters::dropped_by_kernel;
pub(crate) use held_process::{is_traced, let_run_to_gate, open_gate, outlive};
pub(crate) use kernel_calls::{come_between, refused_a_view, uprobe_type};
pub(crate) use kernel_settings::{hidden_addresses, silenced_functions};
pub(crate) use pid_view::PidView;
pub(crate) use processes::{
    Peer, belongs_to, peer_of, privileges_of, privileges_were_raised, watch_process,
};
pub(crate) use surroundings::{Surroundings, try_opening_first};
pub(crate) use wake_ups::{activity, have_data, let_wait, prepare_to_let_wait, watch_buffers};
