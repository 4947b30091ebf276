//! Waits for stops of a traced child.

use std::io;
use std::process::Child;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Waits until the process stops at its exec or at a breakpoint. Passes other signals on.
pub(super) fn wait_for_trap(pid: Pid) -> io::Result<()> {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => return Ok(()),
            Ok(WaitStatus::Stopped(_, signal)) => ptrace::cont(pid, signal)?,
            Ok(status) => return Err(io::Error::other(format!("it ended at once: {status:?}"))),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

pub(super) fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}
