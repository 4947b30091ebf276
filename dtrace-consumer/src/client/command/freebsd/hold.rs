//! Starts a command that is held, and releases it.

use std::io;
use std::process::Child;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::entry;
use super::trap::wait_for_trap;
use crate::client::child::Signals;
use crate::client::command::place::{Hold, Place};
use crate::client::command::stops::{pid_of, stop_at_exec};
use crate::stream::job::Gate;

/// Makes this process, which is about to become the command, stop at its exec. `parent` forked it.
pub(in crate::client::command) fn be_held(parent: Pid) -> nix::Result<()> {
    end_with_the_parent(parent)?;
    stop_at_exec()
}

/// Holds a process that was started to [be held](be_held).
///
/// A process that libdtrace is to attach to waits at its entry point, stopped as if by a signal. Any other stays stopped by
/// this process.
pub(in crate::client::command) fn hold(child: &Child, place: Place) -> io::Result<Option<Gate>> {
    let pid = pid_of(child)?;
    wait_for_trap(pid)?;
    if place.at == Hold::Exec {
        return Ok(None);
    }
    // The loader runs all initialisers before that, also those of the program.
    let address = entry::run_up_to(pid)?;
    if !place.attach {
        return Ok(None);
    }
    ptrace::detach(pid, Signal::SIGSTOP)?;
    Ok(Some(Gate { address, opening: Vec::new() }))
}

/// Releases a held command. One that libdtrace has attached to is running already.
pub(crate) fn release(child: &Child, _: &Signals, attached: bool) -> io::Result<()> {
    if !attached {
        ptrace::detach(pid_of(child)?, None)?;
    }
    Ok(())
}

/// Does nothing: any thread of this process may continue the command, because the process is its tracer.
pub(crate) fn leave_stopped(_: &Child) -> io::Result<()> {
    Ok(())
}

/// Asks the kernel to kill this process when the one that forked it ends. Only a program that raises its privileges is
/// exempt.
fn end_with_the_parent(parent: Pid) -> nix::Result<()> {
    let mut signal = libc::SIGKILL;
    // SAFETY: the call reads one number, and is about this process.
    let result = unsafe {
        libc::procctl(libc::P_PID, 0, libc::PROC_PDEATHSIG_CTL, (&raw mut signal).cast())
    };
    Errno::result(result)?;
    // The parent may have ended already.
    if Pid::parent() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}
