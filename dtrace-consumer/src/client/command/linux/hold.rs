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
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::gate;
use super::stops::{pid_of, wait_for_trap};
use crate::client::child::Signals;
use crate::client::command::place::{Hold, Place};
use crate::client::start::start;
use crate::stream::job::Gate;

/// Makes a command stop at its exec when it is started, for [`spawn_held`]. Call it once.
pub(crate) fn prepare(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed. All its
    // calls are bare system calls, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(move || {
            let held = end_with_the_parent(parent)
                .and_then(|()| let_stop())
                .and_then(|()| ptrace::traceme());
            held.map_err(|e: Errno| io::Error::from_raw_os_error(e as i32))
        });
    }
}

/// Starts a [prepared](prepare) command and holds it. Only the calling thread can [`release`] it.
///
/// Calls `spawned` once the process exists. A process that libdtrace is to attach to waits at a
/// gate, unless it is held at its exec or this architecture has no gates. Any other stays stopped
/// by this thread.
pub(in crate::client) fn spawn_held(
    command: &mut Command,
    place: Place,
    spawned: impl FnOnce(&Signals),
) -> io::Result<(Child, Signals, Option<Gate>)> {
    let mut child = start(command)?;
    let signals = Signals::to(&child).inspect_err(|_| {
        // Nobody has waited for it yet.
        let _ = child.kill();
        let _ = child.wait();
    })?;
    spawned(&signals);
    // The process stops at exec. This thread forked it, so this thread is its tracer.
    match hold(&child, place) {
        Ok(gate) => Ok((child, signals, gate)),
        Err(e) => {
            signals.send(Signal::SIGKILL);
            let _ = child.wait();
            Err(e)
        }
    }
}

fn hold(child: &Child, place: Place) -> io::Result<Option<Gate>> {
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

/// Unblocks the signal by which an exec stops. The program inherits what its parent blocks.
fn let_stop() -> nix::Result<()> {
    let mut signal = SigSet::empty();
    signal.add(Signal::SIGTRAP);
    signal.thread_unblock()
}

/// Asks the kernel to kill the held process when the thread that holds it ends.
fn die_with_this_thread(pid: Pid) -> io::Result<()> {
    Ok(ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL)?)
}
