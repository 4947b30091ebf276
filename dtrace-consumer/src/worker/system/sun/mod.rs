//! What a worker requires of FreeBSD, macOS and illumos.
//!
//! There, libdtrace needs nothing prepared around it, and the kernel ends tracing with the process. A worker is not
//! confined: see each function.

#[expect(unsafe_code, reason = "it handles descriptors of this process by their numbers")]
mod descriptors;
#[cfg(target_os = "freebsd")]
#[expect(unsafe_code, reason = "system calls without safe wrappers")]
mod freebsd;
#[cfg(target_os = "illumos")]
#[expect(unsafe_code, reason = "system calls without safe wrappers")]
mod illumos;
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "system calls without safe wrappers")]
mod macos;
#[cfg(not(target_os = "illumos"))]
mod queue;
#[expect(unsafe_code, reason = "a function of the C library that no crate declares everywhere")]
mod raised;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use descriptors::close_inherited_descriptors;
#[cfg(target_os = "freebsd")]
use freebsd as own;
#[cfg(target_os = "illumos")]
use illumos as own;
#[cfg(target_os = "macos")]
use macos as own;
#[cfg(target_os = "illumos")]
pub(crate) use own::watch_process;
pub(crate) use own::{belongs_to, has_one_thread, is_traced, peer_of};
#[cfg(target_os = "freebsd")]
pub(crate) use own::{identity_of, parent_of};
#[cfg(not(target_os = "illumos"))]
pub(crate) use queue::watch_process;
pub(crate) use raised::privileges_were_raised;

use super::Shortcoming;
use crate::stream::job::{Gate, Job};

/// How often to check whether libdtrace has let go of a process.
const LOOK: Duration = Duration::from_millis(20);

/// How long it may take.
const LONGEST: Duration = Duration::from_secs(30);

/// The process at the other end of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its number, or 0 if the system does not tell it.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl Peer {
    /// Succeeds: numbers of processes mean the same to all processes of the system.
    ///
    /// # Errors
    /// None.
    pub(crate) fn require_own_namespace(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What a job makes libdtrace do outside the worker. It does not matter where nothing is confined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach;

impl Reach {
    /// Returns the reach of a job.
    pub(crate) fn of(_: &Job) -> Reach {
        Reach
    }
}

/// The threads to confine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threads {
    /// All of this process.
    All,
    /// This one, and those that it starts.
    This,
}

/// Gives up nothing: privileges are those of the user, who may trace because of them.
///
/// # Errors
/// None.
pub(crate) fn give_up_privileges() -> io::Result<()> {
    Ok(())
}

/// Confines nothing: no means of these systems confine a process that opens libdtrace. Capsicum, for example, forbids
/// opening any file by its path, and libdtrace opens those of programs, types and devices whenever it needs them.
///
/// # Errors
/// None.
pub(crate) fn confine_before_opening(_: Reach, _may_control: bool) -> io::Result<()> {
    Ok(())
}

/// Confines nothing.
///
/// # Errors
/// None.
pub(crate) fn confine(_: Threads, _: Reach) -> io::Result<()> {
    Ok(())
}

/// What a worker has prepared around libdtrace: nothing.
pub(crate) struct Surroundings;

impl Surroundings {
    /// Prepares nothing.
    pub(crate) fn enter() -> Surroundings {
        Surroundings
    }

    /// Prepares nothing, and makes nothing read-only. Returns the preparations that failed: none.
    ///
    /// # Errors
    /// None.
    pub(crate) fn prepare(&mut self, _: &Job, _: Option<u32>) -> io::Result<Vec<Shortcoming>> {
        Ok(Vec::new())
    }
}

/// Returns `false`: no later worker is a copy of another. libdtrace's descriptors are devices, of which a copy would
/// share the state of the kernel.
pub(crate) fn try_opening_first() -> bool {
    false
}

/// Returns nothing: no descriptor wakes libdtrace. It waits for a moment only; see
/// [`rates`](crate::worker::rates).
pub(crate) fn wait_descriptors() -> BTreeSet<i32> {
    BTreeSet::new()
}

/// Is never called: no descriptor wakes libdtrace.
///
/// # Errors
/// Always.
pub(crate) fn renew_event(_: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Is never called: no worker is a copy of another.
///
/// # Errors
/// Always.
pub(crate) fn let_go_of_sockets(_: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Is never called: no worker is a copy of another.
///
/// # Errors
/// Always.
pub(crate) fn privileges_of(_: i32) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing: the kernel ends tracing with this process, which ends at once.
pub(crate) fn end_tracing() {}

/// The call that [`watch_process`] makes.
pub(crate) const WATCH: &str = if cfg!(target_os = "illumos") { "open" } else { "kevent" };

/// Kills a process that libdtrace holds. It would go on when libdtrace lets go of it.
///
/// FreeBSD 12.1 kills it by ptrace(2) only. On 15.1 one that has been attached to, and not continued since, survives
/// that unless a signal is pending.
#[allow(
    clippy::disallowed_methods,
    reason = "its tracer is this process, which has not waited for its end"
)]
pub(crate) fn end_held(pid: i32) {
    // Only FreeBSD's commands are held.
    #[cfg(target_os = "freebsd")]
    {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::ptrace::kill(pid);
    }
    #[cfg(not(target_os = "freebsd"))]
    let _ = pid;
}

/// Does nothing: libdtrace attaches to a stopped process, and continues it.
pub(crate) fn let_run_to_gate(_: i32, _owner: Option<u32>) {}

/// Does nothing: libdtrace continues the process that it is attached to.
///
/// # Errors
/// None.
pub(crate) fn open_gate(_: i32, _: &Gate, _owner: Option<u32>) -> io::Result<()> {
    Ok(())
}

/// Waits until libdtrace lets go of a process, or the process ends. If this process ended first, the kernel might kill
/// that one.
pub(crate) fn outlive(pid: i32) {
    let began = Instant::now();
    while is_traced(pid) && began.elapsed() < LONGEST {
        thread::sleep(LOOK);
    }
}
