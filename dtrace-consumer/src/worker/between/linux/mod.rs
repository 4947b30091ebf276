//! Linux: libdtrace builds BPF programs, and leaves gaps that this fills.

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
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod controllable;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod drop_counters;
mod empty_function;
#[expect(unsafe_code, reason = "libdtrace calls it in place of a function of the C library")]
mod kernel_calls;
mod kernel_settings;
#[expect(unsafe_code, reason = "it answers libdtrace in place of the kernel")]
mod known_answers;
#[expect(unsafe_code, reason = "it maps a file")]
mod mapped_file;
mod mappings;
mod pid_view;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod process_reads;
mod systemtap_notes;
#[expect(unsafe_code, reason = "it reads what libdtrace passes to the kernel")]
mod uprobe_places;
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod wake_ups;

pub(in crate::worker) use aggregation_maps::aggregation_maps;
pub(in crate::worker) use attachments::{
    attached_to, is_attached, keep_descriptors, was_let_go, watch_attachments,
};
pub(in crate::worker) use begin_and_end::{fire_only_on, has_begun, lacks_its_end, why_unfired};
pub(in crate::worker) use built_probes::{built_upon, may_be_built, may_be_built_on_functions};
pub(in crate::worker) use controllable::limit_control;
pub(in crate::worker) use drop_counters::dropped_by_kernel;
pub(in crate::worker) use kernel_calls::{come_between, refused_a_view, uprobe_type};
pub(in crate::worker) use kernel_settings::{hidden_addresses, silenced_functions};
pub(in crate::worker) use pid_view::PidView;
pub(in crate::worker) use wake_ups::{
    activity, have_data, let_wait, prepare_to_let_wait, watch_buffers,
};
