//! Holds a command until tracing is on.
//!
//! The child asks to be traced, so its exec stops it: the new program is mapped, and none of its instructions
//! has run. The thread that started it keeps it in that stop until its release.
//!
//! If that thread ends before the command does, because its process was killed, the kernel kills the command,
//! whether it is held or runs. While it is held nobody could release it any more. While it runs libdtrace may
//! have left breakpoints in it, which only its worker handles. The rest follows the same rule, so that a
//! command never outlives the program that traces it.
//!
//! Probes on the command's own functions need more. libdtrace attaches to the process as a debugger, and a
//! process can have only one. The loader must have finished, or libdtrace finds no functions. The program's
//! initialisers must have run, or the probes that it defines are not registered. And libdtrace cannot resume
//! a stopped process. So such a command runs up to its entry point or `main`, and is left, stopped, at a
//! [`Gate`]: libdtrace can continue it and attach to it, and it spins until the worker opens the gate.
//!
//! Nobody traces the command between that stop and libdtrace's attaching.

use std::io;
use std::process::Child;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::gate;
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

/// Holds a process that was started to [be held](be_held). Only the calling thread, which started it, can [`release`] it.
///
/// A process that libdtrace is to attach to waits at a gate, unless it is held at its exec or this architecture has no gates.
/// Any other stays stopped by this thread.
pub(in crate::client::command) fn hold(child: &Child, place: Place) -> io::Result<Option<Gate>> {
    let pid = pid_of(child)?;
    wait_for_trap(pid, ptrace::cont)?;
    die_with_this_thread(pid)?;
    if place.at == Hold::Exec {
        return Ok(None);
    }
    let too_late = |e: io::Error| {
        let advice = "the option evaltime=exec holds a created process at its start";
        io::Error::new(e.kind(), format!("it cannot be held at its `main`: {e} ({advice})"))
    };
    if !place.attach {
        gate::run_up_to(pid, place.at).map_err(too_late)?;
        return Ok(None);
    }
    let gate = gate::put(pid, place.at)?;
    if gate.is_some() {
        ptrace::detach(pid, Signal::SIGSTOP)?;
    }
    Ok(gate)
}

/// Releases a held command. Must run on the thread that started it. A command at a gate is already running if
/// the worker has opened the gate.
pub(crate) fn release(child: &Child, signals: &Signals, gated: bool) -> io::Result<()> {
    if gated {
        signals.send(Signal::SIGCONT);
    } else {
        ptrace::detach(pid_of(child)?, None)?;
    }
    Ok(())
}

/// Detaches a held command, which stays stopped as if by a signal, so that another thread can continue it.
pub(crate) fn leave_stopped(child: &Child) -> io::Result<()> {
    Ok(ptrace::detach(pid_of(child)?, Signal::SIGSTOP)?)
}

/// Asks the kernel to kill this process when the thread that forked it ends. `parent` is that thread's
/// process. Only a program that raises its privileges is exempt.
fn end_with_the_parent(parent: Pid) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have ended already. One outside this process's pid namespace has the pid 0.
    if ![parent, Pid::from_raw(0)].contains(&Pid::parent()) {
        return Err(Errno::ESRCH);
    }
    Ok(())
}

/// Asks the kernel to kill the held process when the thread that holds it ends.
fn die_with_this_thread(pid: Pid) -> io::Result<()> {
    Ok(ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL)?)
}
