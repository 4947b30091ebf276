//! Stops a command at its end until its symbols have been looked up.
//!
//! Functions are found by a process's memory map, which disappears with the process. A tracer can stop the
//! process at exit, while its memory still exists. For that the command is seized, not traced from its start:
//! seizing leaves job control as it is, passes signals on, and lets the process be stopped and continued.
//!
//! If this process ends, the kernel detaches the command. A program that raises its privileges does not get
//! them while an unprivileged process traces it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::ptr;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::stops::pid_of;
use crate::client::child::Signals;

/// Continues a stopped child of this process and waits for its end. Calls `at_exit` while the child is
/// stopped there.
///
/// If the child cannot be seized, it runs without that stop.
pub(in crate::client) fn run_to_exit(
    child: &Child,
    signals: &Signals,
    at_exit: impl FnOnce(),
) -> io::Result<ExitStatus> {
    let pid = pid_of(child)?;
    // It may still be on its way to the stop, and a continuation that comes before would be lost.
    wait_for_change(pid)?;
    // It fails if a debugger was faster, or a security module forbids it.
    let _ = ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT);
    signals.send(Signal::SIGCONT);
    let mut at_exit = Some(at_exit);
    loop {
        wait_for_change(pid)?;
        let status = signals
            .during_wait(|| wait(pid), |status| !matches!(status, Ok(s) if !has_ended(*s)))?;
        if has_ended(status) {
            return Ok(ExitStatus::from_raw(status));
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_EXIT => {
                if let Some(look) = at_exit.take() {
                    look();
                }
                go_on(libc::PTRACE_CONT, pid, 0);
            }
            libc::PTRACE_EVENT_STOP if is_stop(signal) => go_on(libc::PTRACE_LISTEN, pid, 0),
            libc::PTRACE_EVENT_STOP => go_on(libc::PTRACE_CONT, pid, 0),
            _ => go_on(libc::PTRACE_CONT, pid, signal),
        }
    }
}

fn is_stop(signal: i32) -> bool {
    [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal)
}

fn has_ended(status: i32) -> bool {
    libc::WIFEXITED(status) || libc::WIFSIGNALED(status)
}

/// Waits until the process stops or ends, without reaping it.
fn wait_for_change(pid: Pid) -> io::Result<()> {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL;
    loop {
        // SAFETY: all fields of the structure are integers, for which zeros are valid.
        let mut change: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = pid.as_raw().unsigned_abs();
        // SAFETY: waitid writes only the structure, which outlives the call.
        match unsafe { libc::waitid(libc::P_PID, id, &raw mut change, flags) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(()),
        }
    }
}

fn wait(pid: Pid) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes only the status, which outlives the call.
        match unsafe {
            libc::waitpid(pid.as_raw(), &raw mut status, libc::__WALL | libc::WUNTRACED)
        } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(status),
        }
    }
}

/// Resumes a stopped process. It fails only if the process was killed meanwhile; the next wait reports that.
fn go_on(request: libc::c_uint, pid: Pid, signal: i32) {
    let signal = ptr::without_provenance_mut::<libc::c_void>(signal.unsigned_abs() as usize);
    // SAFETY: these requests neither read nor write memory of this process.
    unsafe { libc::ptrace(request, pid.as_raw(), ptr::null_mut::<libc::c_void>(), signal) };
}
