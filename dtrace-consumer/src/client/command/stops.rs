//! Waits for stops of a traced child.

use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a command may take from one stop to the next: for its loader and the initialisers that run before its
/// entry point. These may wait for anything, for example for input.
const LONGEST_RUN: Duration = Duration::from_secs(60);

/// Waits until the process stops at its exec, at a breakpoint or after a step. Passes other signals on with
/// `go_on`, [`cont`](nix::sys::ptrace::cont) or [`step`](nix::sys::ptrace::step). `stopped_by` returns the signal that a process is stopped by for its
/// tracer, if it is.
///
/// It fails after [`LONGEST_RUN`].
///
/// This polls instead of waiting for the stop: if another thread of the program waits for all
/// children, the kernel may report the stop only to that thread.
pub(super) fn wait_for_trap(
    pid: Pid,
    stopped_by: impl Fn(Pid) -> Option<Signal>,
    go_on: impl Fn(Pid, Option<Signal>) -> nix::Result<()>,
) -> io::Result<()> {
    wait_within(LONGEST_RUN, pid, stopped_by, go_on)
}

fn wait_within(
    limit: Duration,
    pid: Pid,
    stopped_by: impl Fn(Pid) -> Option<Signal>,
    go_on: impl Fn(Pid, Option<Signal>) -> nix::Result<()>,
) -> io::Result<()> {
    let began = Instant::now();
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
            None if began.elapsed() > limit => {
                let reason = format!(
                    "it has not reached its entry point within {} s: an initialiser of its libraries, or its own, \
                     is still running or waiting",
                    limit.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_does_not_stop_is_not_waited_for_without_end() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep(1)");
        let pid = pid_of(&child).expect("a number");
        let result = wait_within(Duration::from_millis(20), pid, |_| None, |_, _| Ok(()));
        child.kill().expect("it is there");
        child.wait().expect("a child");
        let error = result.expect_err("it does not stop");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("an initialiser"), "{error}");
    }
}
