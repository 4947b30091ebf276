//! How is a command held until tracing is on?
//!
//! The child asks to be traced, so that its exec stops it, with the new program in place and not one
//! of its instructions run. It stays in that stop, in the hands of the thread that started it, until it
//! is let go; the kernel kills it should that thread end before.
//!
//! Probes on the command's own functions need more: libdtrace has to attach to the process as a
//! debugger does, which only one can at a time, and the loader must have done its work, or no function
//! is found; nor probes that the program itself defines, before its initialisers have registered them. The process
//! cannot simply be stopped for that: libdtrace cannot resume a stopped process. So such a command runs
//! up to the entry point of its program or to `main`, and is released, stopped, at a [`Gate`]: it can be
//! continued to be attached to, and spins until the worker has opened the gate.
//!
//! Nobody traces it between that stop and libdtrace's attaching, and libdtrace leaves breakpoints in it
//! that only its worker answers. So the kernel kills such a command whenever the thread that started it
//! ends, until the command's own end.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::gate;
use super::stops::{pid_of, wait_for_trap};
use crate::client::command::place::Hold;
use crate::stream::job::Gate;

/// Has a command stop at its exec whenever it is started, for [`spawn_held`]. To be called once.
pub(crate) fn prepare(command: &mut Command, at: Hold) {
    let parent = Pid::this();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls may be made:
    // all of them are bare system calls, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(move || {
            let end = if at == Hold::Exec { Ok(()) } else { end_with_the_parent(parent) };
            let held = end.and_then(|()| ptrace::traceme());
            held.map_err(|e: Errno| io::Error::from_raw_os_error(e as i32))
        });
    }
}

/// Starts a [prepared](prepare) command that does not run yet. Only the calling thread can [`release`]
/// it.
///
/// Elsewhere than at its exec it is behind a gate, where this machine's code is known.
pub(crate) fn spawn_held(command: &mut Command, at: Hold) -> io::Result<(Child, Option<Gate>)> {
    let mut child = command.spawn()?;
    // The process stops at exec. This thread forked it, so this thread is the one that it obeys.
    match hold(&child, at) {
        Ok(gate) => Ok((child, gate)),
        Err(e) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(e)
        }
    }
}

fn hold(child: &Child, at: Hold) -> io::Result<Option<Gate>> {
    let pid = pid_of(child)?;
    wait_for_trap(pid)?;
    die_with_this_thread(pid)?;
    let gate = if at == Hold::Exec { None } else { gate::put(pid, at)? };
    if gate.is_some() {
        ptrace::detach(pid, Signal::SIGSTOP)?;
    }
    Ok(gate)
}

/// Lets a held command run, on the thread that started it. One before a gate runs already, if the
/// worker has opened the gate.
pub(crate) fn release(child: &Child, gated: bool) -> io::Result<()> {
    let pid = pid_of(child)?;
    if gated {
        kill(pid, Signal::SIGCONT)?;
    } else {
        ptrace::detach(pid, None)?;
    }
    Ok(())
}

/// Lets go of a held command for another thread to let it run; it is stopped as by a signal.
pub(crate) fn leave_stopped(child: &Child) -> io::Result<()> {
    Ok(ptrace::detach(pid_of(child)?, Signal::SIGSTOP)?)
}

/// Asks the kernel to kill this process when the thread that forked it is gone; `parent` is that
/// thread's process. Only a program that raises its privileges is exempt.
fn end_with_the_parent(parent: Pid) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may be gone already. A parent outside of this process's pid namespace has no number.
    if ![parent, Pid::from_raw(0)].contains(&Pid::parent()) {
        return Err(Errno::ESRCH);
    }
    Ok(())
}

/// Asks the kernel to kill the held process when the thread that holds it is gone.
fn die_with_this_thread(pid: Pid) -> io::Result<()> {
    Ok(ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL)?)
}
