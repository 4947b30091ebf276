//! Waits for stops of a traced child.

use std::io;
use std::process::Child;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until the process stops at its exec, at a breakpoint or after a step. Passes other signals on with
/// `go_on`, [`cont`](nix::sys::ptrace::cont) or [`step`](nix::sys::ptrace::step). `stopped_by` returns the signal that a process is stopped by for its
/// tracer, if it is.
///
/// This polls instead of waiting for the stop: if another thread of the program waits for all
/// children, the kernel may report the stop only to that thread.
pub(super) fn wait_for_trap(
    pid: Pid,
    stopped_by: impl Fn(Pid) -> Option<Signal>,
    go_on: impl Fn(Pid, Option<Signal>) -> nix::Result<()>,
) -> io::Result<()> {
    let mut pause = Duration::from_micros(10);
    loop {
        let signal = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
            // Only a stopped process has a signal to inspect.
            Ok(WaitStatus::StillAlive) => stopped_by(pid),
            Ok(status) => return Err(io::Error::other(format!("it ended at once: {status:?}"))),
            Err(Errno::EINTR) => None,
            Err(Errno::ECHILD) => {
                let reason = "it ended at once, and another thread has waited for it";
                return Err(io::Error::other(reason));
            }
            Err(e) => return Err(e.into()),
        };
        match signal {
            Some(Signal::SIGTRAP) => return Ok(()),
            Some(signal) => go_on(pid, Some(signal))?,
            None => {
                std::thread::sleep(pause);
                pause = PAUSE.min(pause * 2);
            }
        }
    }
}

/// Makes this process, which is about to become a command, stop at its exec for the one that forked it. Unblocks the
/// signal by which it stops: the program inherits what its parent blocks.
pub(super) fn stop_at_exec() -> nix::Result<()> {
    let mut signal = SigSet::empty();
    signal.add(Signal::SIGTRAP);
    signal.thread_unblock()?;
    ptrace::traceme()
}

pub(super) fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}
