//! What comes between libdtrace and the system.
//!
//! Some of libdtrace's calls are answered, watched, corrected or refused by this crate: many on Linux, where libdtrace
//! does not do everything that its users rely on, and few elsewhere. There is one module for each lineage of libdtrace, with the
//! same items.

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
#[expect(unsafe_code, reason = "libdtrace calls it in place of functions of the C library")]
mod answering;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
#[path = "unanswered.rs"]
mod answering;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
#[expect(unsafe_code, reason = "it reads and writes the tables of a loaded library")]
#[cfg_attr(
    not(any(dtrace_abi = "linux", target_os = "freebsd")),
    allow(dead_code, reason = "nothing else intercepts calls")
)]
mod called_function;
#[cfg_attr(
    not(any(dtrace_abi = "linux", target_os = "freebsd")),
    allow(dead_code, reason = "nothing else intercepts calls")
)]
mod controllable;
#[cfg(dtrace_abi = "linux")]
mod linux;
#[cfg(not(dtrace_abi = "linux"))]
mod sun;

pub(super) use answering::Answering;
pub(super) use controllable::Controllable;

#[cfg(dtrace_abi = "linux")]
pub(super) use linux::{
    PidView, activity, aggregation_maps, attached_to, built_upon, come_between, dropped_by_kernel,
    fire_only_on, has_begun, have_data, hidden_addresses, is_attached, keep_descriptors,
    lacks_its_end, let_wait, limit_control, may_be_built, may_be_built_on_functions,
    prepare_to_let_wait, refused_a_view, silenced_functions, uprobe_type, was_let_go,
    watch_attachments, watch_buffers, why_unfired,
};
#[cfg(not(dtrace_abi = "linux"))]
pub(super) use sun::{
    activity, aggregation_maps, attached_to, built_upon, correct_control, dropped_by_kernel,
    have_data, hidden_addresses, is_attached, keep_descriptors, let_wait, limit_control,
    may_be_built, may_be_built_on_functions, silenced_functions, was_let_go,
};

/// What has happened to the buffers that libdtrace reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// How often libdtrace has waited for them.
    pub(super) waits: u64,
    /// How many bytes have been written to them.
    pub(super) written: u64,
}

impl Activity {
    /// Returns what has happened since `before`.
    pub(super) fn since(self, before: Activity) -> Activity {
        let waits = self.waits.saturating_sub(before.waits);
        Activity { waits, written: self.written.saturating_sub(before.written) }
    }
}
