//! How does a command wait at its end until its symbols have been looked up?
//!
//! What tells functions from addresses is a process's memory map, which is gone with the process. A
//! tracer can have it stop when all is done but its memory is still there. For that the command is
//! seized, which, unlike being a child that asked for it, leaves job control as it is: signals are
//! handed on, and it can be stopped and continued.
//!
//! The kernel lets go of the command if this process ends. A program that raises its privileges does
//! not get them while an unprivileged process traces it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::ptr;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stops::pid_of;

/// Lets a child of this process run that was left stopped, and waits for its end; `at_exit` is called
/// while it stops there.
///
/// Where the child cannot be seized, it runs all the same.
pub(crate) fn run_to_exit(child: &Child, at_exit: impl FnOnce()) -> io::Result<ExitStatus> {
    let pid = pid_of(child)?;
    // It fails if a debugger was faster, or a security module forbids it.
    let _ = ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT);
    kill(pid, Signal::SIGCONT)?;
    let mut at_exit = Some(at_exit);
    loop {
        let status = wait(pid)?;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
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

fn wait(pid: Pid) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status is for the call to fill.
        match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::__WALL) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(status),
        }
    }
}

/// Sets a stopped process going. It fails only if the process was killed meanwhile, which the next
/// wait tells.
fn go_on(request: libc::c_uint, pid: Pid, signal: i32) {
    let signal = ptr::without_provenance_mut::<libc::c_void>(signal.unsigned_abs() as usize);
    // SAFETY: these requests read and write no memory of this process.
    unsafe { libc::ptrace(request, pid.as_raw(), ptr::null_mut::<libc::c_void>(), signal) };
}
