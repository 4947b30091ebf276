//! Which probes are other probes in disguise?
//!
//! libdtrace has some providers that the kernel does not have. It builds each of their probes upon others, and
//! enables it without an error even if the kernel has none of those.

use crate::data::pattern::ProbePattern;

/// Returns descriptions of the probes that one of libdtrace's own is built upon. Any of them makes it fire;
/// none are known of other probes.
pub(crate) fn built_upon(provider: &str, name: &str) -> &'static [&'static str] {
    let built = BUILT.iter().find(|(of, probe, _)| (*of, *probe) == (provider, name));
    built.map_or(&[], |(_, _, upon)| upon)
}

/// Returns whether a clause with this provider, which may be empty, and name may match such probes.
pub(crate) fn may_be_built(provider: &str, name: &str) -> bool {
    BUILT.iter().any(|(of, probe, _)| *of == provider || (provider.is_empty() && *probe == name))
}

/// Returns whether the pattern, of a provider and a name, matches a probe that is built upon functions of the kernel.
pub(crate) fn may_be_built_on_functions(pattern: &ProbePattern) -> bool {
    let is_function = |upon: &&str| upon.starts_with("fbt:") || upon.starts_with("rawfbt:");
    let is_matched =
        |(provider, name, _): &&(&str, &str, &[&str])| pattern.matches([*provider, "", "", *name]);
    BUILT.iter().filter(is_matched).any(|(_, _, upon)| upon.iter().any(&is_function))
}

/// Provider, probe, and what it is built upon: the tables of 2.0.7.
const BUILT: &[(&str, &str, &[&str])] = &[
    ("io", "wait-start", &["fbt::submit_bio_wait:entry", "rawtp:xfs::xfs_buf_iowait"]),
    ("io", "wait-done", &["fbt::submit_bio_wait:", "rawtp:xfs::xfs_buf_iowait_done"]),
    (
        "io",
        "done",
        &[
            "rawtp:block::block_bio_complete",
            "rawtp:block::block_rq_complete",
            "rawtp:nfs::nfs_readpage_done",
            "rawtp:nfs::nfs_writeback_done",
        ],
    ),
    (
        "io",
        "start",
        &[
            "rawtp:block::block_bio_queue",
            "rawtp:nfs::nfs_initiate_read",
            "rawtp:nfs::nfs_initiate_write",
        ],
    ),
    ("ip", "receive", &["fbt::ip_local_deliver:entry", "fbt::ip6_input:entry"]),
    ("ip", "send", &["fbt::ip_finish_output:entry", "rawfbt::ip6_finish_output:entry"]),
    ("lockstat", "adaptive-acquire", &["fbt::mutex_lock:"]),
    (
        "lockstat",
        "adaptive-acquire-error",
        &["fbt::*mutex_lock_killable:", "fbt::*mutex_lock_interruptible:"],
    ),
    ("lockstat", "adaptive-block", &["fbt::mutex_lock:", "fbt::schedule_preempt_disabled:"]),
    ("lockstat", "adaptive-release", &["fbt::mutex_unlock:"]),
    ("lockstat", "adaptive-spin", &["fbt::mutex_lock:", "fbt::_raw_spin_lock:entry"]),
    (
        "lockstat",
        "rw-acquire",
        &[
            "fbt::_raw_read_lock*:",
            "fbt::_raw_read_trylock*:",
            "fbt::_raw_write_lock*:",
            "fbt::_raw_write_trylock*:",
        ],
    ),
    ("lockstat", "rw-release", &["fbt::_raw_read_unlock*:", "fbt::_raw_write_unlock*:"]),
    (
        "lockstat",
        "rw-spin",
        &["fbt::queued_read_lock_slowpath:", "fbt::queued_write_lock_slowpath:"],
    ),
    ("lockstat", "spin-acquire", &["fbt::_raw_spin_lock*:", "fbt::_raw_spin_trylock*:"]),
    ("lockstat", "spin-release", &["fbt::_raw_spin_unlock*:"]),
    ("lockstat", "spin-spin", &["fbt::queued_spin_lock_*:", "fbt::native_queued_spin_lock_*:"]),
    ("proc", "create", &["rawtp:sched::sched_process_fork"]),
    ("proc", "exec", &["syscall::execve*:entry"]),
    ("proc", "exec-failure", &["syscall::execve*:return"]),
    ("proc", "exec-success", &["syscall::execve*:return"]),
    ("proc", "exit", &["rawtp:sched::sched_process_exit"]),
    ("proc", "lwp-create", &["rawtp:sched::sched_process_fork"]),
    ("proc", "lwp-exit", &["rawtp:sched::sched_process_exit"]),
    ("proc", "lwp-start", &["fbt::schedule_tail:return"]),
    ("proc", "signal-clear", &["syscall::rt_sigtimedwait:return"]),
    ("proc", "signal-discard", &["rawtp:signal::signal_generate"]),
    ("proc", "signal-handle", &["rawtp:signal::signal_deliver"]),
    ("proc", "signal-send", &["fbt::complete_signal:entry"]),
    ("proc", "start", &["fbt::schedule_tail:return"]),
    ("sched", "dequeue", &["fbt::dequeue_task_*:entry"]),
    ("sched", "enqueue", &["fbt::enqueue_task_*:entry"]),
    ("sched", "off-cpu", &["rawtp:sched::sched_switch"]),
    (
        "sched",
        "on-cpu",
        &["fbt:vmlinux:finish_task_switch:return", "rawfbt:vmlinux:finish_task_switch.*:return"],
    ),
    ("sched", "surrender", &["fbt::do_sched_yield:entry"]),
    ("sched", "tick", &["fbt::scheduler_tick:entry"]),
    ("sched", "wakeup", &["rawtp:sched::sched_wakeup"]),
    ("tcp", "accept-established", &["rawfbt::tcp_init_transfer:entry"]),
    ("tcp", "accept-refused", &["fbt::tcp_v4_send_reset:entry", "fbt::tcp_v6_send_reset:entry"]),
    ("tcp", "connect-established", &["fbt::tcp_finish_connect:entry"]),
    ("tcp", "connect-refused", &["fbt::tcp_reset:entry"]),
    ("tcp", "connect-request", &["fbt::__ip_queue_xmit:entry", "rawfbt::ip6_xmit:entry"]),
    (
        "tcp",
        "receive",
        &[
            "fbt::tcp_rcv_established:entry",
            "fbt::tcp_rcv_state_process:entry",
            "fbt::tcp_v4_send_reset:entry",
        ],
    ),
    (
        "tcp",
        "send",
        &[
            "fbt::__ip_queue_xmit:entry",
            "rawfbt::ip_send_unicast_reply:entry",
            "fbt::ip_build_and_send_pkt",
            "rawfbt::ip6_xmit:entry",
        ],
    ),
    (
        "tcp",
        "state-change",
        &[
            "sdt:::inet_sock_set_state",
            "fbt::tcp_time_wait:entry",
            "fbt::inet_csk_clone_lock:entry",
        ],
    ),
    ("udp", "receive", &["rawfbt::udp_queue_rcv_skb:entry", "rawfbt::udpv6_queue_rcv_skb:entry"]),
    ("udp", "send", &["rawfbt::ip_send_skb:entry", "rawfbt::ip6_send_skb:entry"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libdtraces_own_probes_are_built_upon_others() {
        assert_eq!(built_upon("sched", "tick"), ["fbt::scheduler_tick:entry"]);
        assert_eq!(built_upon("profile", "tick").len(), 0);
        assert!(may_be_built("tcp", "") && may_be_built("", "send"));
        assert!(!may_be_built("syscall", "send") && !may_be_built("", "entry"));
    }
}
