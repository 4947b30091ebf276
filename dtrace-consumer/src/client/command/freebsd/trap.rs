//! Waits until a command stops for its tracer.

use std::io;
use std::mem::size_of;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::client::command::stops;

/// Waits until the process stops at its exec or at a breakpoint.
pub(super) fn wait_for_trap(pid: Pid) -> io::Result<()> {
    stops::wait_for_trap(pid, stopped_by, ptrace::cont)
}

/// Returns the signal that a child of this process is stopped by, if it is stopped for its tracer.
fn stopped_by(pid: Pid) -> Option<Signal> {
    // SAFETY: zeros are valid for all fields of the structure.
    let mut information: libc::ptrace_lwpinfo = unsafe { std::mem::zeroed() };
    let size = i32::try_from(size_of::<libc::ptrace_lwpinfo>()).ok()?;
    // SAFETY: the request writes at most `size` bytes to the structure. It fails unless the process is stopped.
    let result = unsafe {
        libc::ptrace(libc::PT_LWPINFO, pid.as_raw(), (&raw mut information).cast(), size)
    };
    let is_signal = result == 0 && information.pl_event == libc::PL_EVENT_SIGNAL;
    is_signal.then(|| Signal::try_from(information.pl_siginfo.si_signo).ok())?
}
