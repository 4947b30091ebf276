//! How does the kernel learn which system calls a worker may make?
//!
//! By seccomp filters, which cannot be removed. Of several filters, the strictest
//! result counts. There are three results:
//!
//! - **The process is killed** at calls that no C library makes by itself, such as starting a program. They
//!   are an attack or a bug, and the session's error names the reason.
//! - **"Function not implemented"** is the result of calls that are not known to be needed, and of those that
//!   newer kernels have. C libraries then fall back to older calls.
//! - **"Operation not permitted"** is the result of starting a process, and of known calls with arguments that
//!   are not needed, such as opening a file for writing. Libraries try that in passing, and handle the failure.
//!
//! A filter kills a process that makes a call of another architecture, such as those of 32-bit programs.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, apply_filter_all_threads,
};

use super::calls::{
    ALLOWED, DESCRIPTOR_COMMANDS, DEVICE_REQUESTS, FORBIDDEN, MAP_COMMANDS, PERF, STARTING,
};
use super::reach::Reach;

/// The threads that are confined. Those that they start later are confined as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// All threads of the process.
    All,
    /// The calling one. Others may belong to libraries of the user's program, which may do anything.
    This,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Forbids what no session does when tracing is on, and no session of an elevated worker does before.
pub(super) fn forbid_what_no_session_does(threads: Threads) -> io::Result<()> {
    let any = |calls: &[libc::c_long]| -> Rules {
        calls.iter().map(|call| (*call, Vec::new())).collect()
    };
    let mut allowed = any(ALLOWED);
    allowed.insert(libc::SYS_ioctl, requests()?);
    allowed.insert(libc::SYS_fcntl, each(1, DESCRIPTOR_COMMANDS)?);
    let mut killed = any(FORBIDDEN);
    // Threads may be started, but not processes: libdtrace tries to start tshark(1) for pcap(), and goes on
    // without it. The newer call, clone3, has its flags behind a pointer, which a filter cannot read. It is not
    // on the list, so C libraries use the older one.
    let mut refused = any(STARTING);
    refused.insert(libc::SYS_clone, vec![rule([bits(0, libc::CLONE_THREAD, 0)?])?]);
    for (call, flags) in OPENING {
        let creates = [libc::O_CREAT, libc::O_TRUNC, TEMPORARY];
        let creates = creates.map(|flag| bits(*flags, flag, flag).and_then(|bits| rule([bits])));
        killed.insert(*call, creates.into_iter().collect::<io::Result<_>>()?);
    }
    apply(threads, allowed, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow)?;
    apply(threads, refused, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))?;
    apply(threads, killed, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Forbids what elevated workers do not need before they trace: opening files for writing and, unless they may control
/// processes, all that controls them.
pub(super) fn forbid_what_elevated_workers_do_not_need(may_control: bool) -> io::Result<()> {
    let mut forbidden = changes()?;
    if !may_control {
        forbidden.append(&mut control()?);
    }
    refuse(Threads::All, forbidden)
}

/// Forbids what only starting to trace needs, and what only some sessions need.
pub(super) fn forbid_what_tracing_does_not_need(threads: Threads, reach: Reach) -> io::Result<()> {
    let mut forbidden = changes()?;
    if !reach.process_probes {
        let commands = MAP_COMMANDS.iter().map(|command| is_not(0, *command));
        let other_commands = rule(commands.collect::<io::Result<Vec<_>>>()?)?;
        forbidden.insert(libc::SYS_bpf, vec![other_commands]);
        forbidden.insert(libc::SYS_perf_event_open, Vec::new());
    }
    if !reach.memory {
        forbidden.append(&mut control()?);
    }
    refuse(threads, forbidden)
}

/// Returns the rules against opening files for writing, and against setting the limits of other processes.
fn changes() -> io::Result<Rules> {
    let mut forbidden = Rules::new();
    for (call, flags) in OPENING {
        let modes = [libc::O_WRONLY, libc::O_RDWR, libc::O_ACCMODE];
        let modes = modes.map(|it| bits(*flags, libc::O_ACCMODE, it).and_then(|it| rule([it])));
        forbidden.insert(*call, modes.into_iter().collect::<io::Result<_>>()?);
    }
    let own = std::process::id();
    // A worker may have the privilege to set the limits of all processes.
    let others = rule([is_not(0, 0)?, is_not(0, own)?])?;
    forbidden.insert(libc::SYS_prlimit64, vec![others]);
    Ok(forbidden)
}

/// Returns the rules against controlling other processes, and reading their memory by the calls for that.
fn control() -> io::Result<Rules> {
    let own = std::process::id();
    let mut forbidden = Rules::new();
    forbidden.insert(libc::SYS_ptrace, Vec::new());
    forbidden.insert(libc::SYS_process_vm_readv, Vec::new());
    forbidden.insert(libc::SYS_pidfd_send_signal, Vec::new());
    // Signal 0 only asks whether a process exists.
    forbidden.insert(libc::SYS_kill, vec![rule([is_not(0, own)?, is_not(1, 0)?])?]);
    forbidden.insert(libc::SYS_tgkill, vec![rule([is_not(0, own)?])?]);
    Ok(forbidden)
}

fn refuse(threads: Threads, forbidden: Rules) -> io::Result<()> {
    apply(threads, forbidden, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// The bit that makes a file without a name. The C library's constant also has that of directories.
const TEMPORARY: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Calls that open files, and which of their arguments has the flags.
const OPENING: &[(libc::c_long, u8)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];

/// Returns the rules of the requests to devices that are allowed.
fn requests() -> io::Result<Vec<SeccompRule>> {
    let mut rules = each(1, DEVICE_REQUESTS)?;
    // The second lowest byte of a request names its subsystem.
    rules.push(rule([bits(1, 0xff00, PERF)?])?);
    Ok(rules)
}

/// Returns a rule for each of several values of an argument.
fn each(argument: u8, values: &[u32]) -> io::Result<Vec<SeccompRule>> {
    let is = |value: &u32| rule([condition(argument, SeccompCmpOp::Eq, *value)?]);
    values.iter().map(is).collect()
}

fn is_not(argument: u8, value: u32) -> io::Result<SeccompCondition> {
    condition(argument, SeccompCmpOp::Ne, value)
}

/// Returns the condition that the bits of `mask` in an argument equal `value`.
fn bits(argument: u8, mask: i32, value: i32) -> io::Result<SeccompCondition> {
    let mask = u64::from(mask.cast_unsigned());
    condition(argument, SeccompCmpOp::MaskedEq(mask), value.cast_unsigned())
}

/// Returns a condition on the lower half of an argument. The kernel ignores the other half of an `int`.
fn condition(argument: u8, operator: SeccompCmpOp, value: u32) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, u64::from(value))
        .map_err(io::Error::other)
}

/// Returns the rule that all of the conditions hold.
fn rule(conditions: impl Into<Vec<SeccompCondition>>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions.into()).map_err(io::Error::other)
}

fn apply(
    threads: Threads,
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> io::Result<()> {
    let machine = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let program: seccompiler::BpfProgram = SeccompFilter::new(rules, otherwise, action, machine)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    match threads {
        Threads::All => apply_filter_all_threads(&program),
        Threads::This => apply_filter(&program),
    }
    .map_err(io::Error::other)
}
