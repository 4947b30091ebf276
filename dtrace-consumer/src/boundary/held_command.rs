//! How is a command held until tracing is on?
//!
//! The child asks to be traced, so that its exec stops it, with the new program in place and not one
//! of its instructions run. It stays in that stop, in the hands of the thread that started it, until it
//! is let go; the kernel kills it should that thread end before.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Starts a command that does not run yet. Only the calling thread can [`release`] it.
pub(crate) fn spawn_held(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls may be made:
    // ptrace is a bare system call, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(|| {
            ptrace::traceme().map_err(|e: Errno| io::Error::from_raw_os_error(e as i32))
        });
    }
    let mut child = command.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    // The process stops at exec. This thread forked it, so this thread is the one that it obeys.
    let held = loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {
                break die_with_this_thread(pid);
            }
            // Another signal came in between; it is handed on.
            Ok(WaitStatus::Stopped(_, signal)) => {
                if let Err(e) = ptrace::cont(pid, signal) {
                    break Err(e.into());
                }
            }
            Ok(status) => break Err(io::Error::other(format!("it ended at once: {status:?}"))),
            Err(Errno::EINTR) => {}
            Err(e) => break Err(e.into()),
        }
    };
    if let Err(e) = held {
        let _ = child.kill();
        let _ = child.wait();
        return Err(e);
    }
    Ok(child)
}

/// Lets a held command run, on the thread that started it.
pub(crate) fn release(child: &Child) -> io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    ptrace::detach(Pid::from_raw(pid), None).map_err(io::Error::from)
}

/// Asks the kernel to kill the held process when the thread that holds it is gone.
fn die_with_this_thread(pid: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL)?;
    // Elsewhere it is what a debugger's end does anyway.
    let _ = pid;
    Ok(())
}
