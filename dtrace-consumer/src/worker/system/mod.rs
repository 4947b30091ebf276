//! What a worker requires of the operating system, besides libdtrace.
//!
//! There is one module for each system, with the same items. The rest of the worker is independent of the
//! system.

#[expect(unsafe_code, reason = "it handles descriptors of this process by their numbers")]
mod descriptors;
#[cfg(target_os = "linux")]
// Without Linux's libdtrace, nothing comes between that needs the rest of it.
#[cfg_attr(not(dtrace_abi = "linux"), allow(dead_code))]
pub(super) mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Peer, Reach, Surroundings, Threads, WATCH, belongs_to, close_inherited_descriptors, confine,
    confine_before_opening, end_held, end_tracing, give_up_privileges, has_one_thread, identity_of,
    is_traced, let_go_of_sockets, let_run_to_gate, open_gate, outlive, peer_of, privileges_of,
    privileges_were_raised, renew_event, try_opening_first, wait_descriptors, watch_process,
};

#[cfg(not(target_os = "linux"))]
mod sun;
#[cfg(not(target_os = "linux"))]
pub(crate) use sun::{
    Peer, Reach, Surroundings, Threads, WATCH, belongs_to, close_inherited_descriptors, confine,
    confine_before_opening, end_held, end_tracing, give_up_privileges, has_one_thread, is_traced,
    let_go_of_sockets, let_run_to_gate, open_gate, outlive, peer_of, privileges_of,
    privileges_were_raised, renew_event, try_opening_first, wait_descriptors, watch_process,
};
#[cfg(target_os = "freebsd")]
pub(crate) use sun::{identity_of, parent_of};

use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) use descriptors::{duplicate, inode_of_input, open_standard_descriptors};

use libc::{gid_t, pid_t, uid_t};
use nix::poll::{PollFd, PollFlags};

/// The numbers of a process, as scripts see those of the tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "freebsd")),
    expect(dead_code, reason = "nobody asks")
)]
pub(crate) struct Identity {
    pub(crate) pid: pid_t,
    pub(crate) ppid: pid_t,
    pub(crate) pgid: pid_t,
    pub(crate) sid: pid_t,
    pub(crate) uid: uid_t,
    pub(crate) euid: uid_t,
    pub(crate) gid: gid_t,
    pub(crate) egid: gid_t,
}

/// Returns what to poll to notice the end of a process that [`watch_process`] watches.
pub(crate) fn end_of(process: &OwnedFd) -> PollFd<'_> {
    // On illumos the files of a process are always readable, and their hang-up is reported to everyone who polls.
    let events = if cfg!(target_os = "illumos") { PollFlags::empty() } else { PollFlags::POLLIN };
    PollFd::new(process.as_fd(), events)
}

/// A preparation that failed. That alone is not fatal: libdtrace may work without it.
#[derive(Debug, Clone)]
pub(crate) struct Shortcoming {
    pub(crate) attempt: &'static str,
    pub(crate) reason: String,
}

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing is prepared"))]
impl Shortcoming {
    fn new(attempt: &'static str, error: impl Into<io::Error>) -> Shortcoming {
        Shortcoming { attempt, reason: error.into().to_string() }
    }
}
