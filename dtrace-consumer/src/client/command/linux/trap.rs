//! Waits until a command stops for its tracer.

use std::io;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::client::command::stops;

/// Waits until the process stops at its exec, at a breakpoint or after a step; see [`stops::wait_for_trap`].
pub(super) fn wait_for_trap(
    pid: Pid,
    go_on: impl Fn(Pid, Option<Signal>) -> nix::Result<()>,
) -> io::Result<()> {
    stops::wait_for_trap(pid, stopped_by, go_on)
}

/// Only a stopped process has a signal to inspect.
fn stopped_by(pid: Pid) -> Option<Signal> {
    let information = ptrace::getsiginfo(pid).ok()?;
    Signal::try_from(information.si_signo).ok()
}
