//! What can be said to the system only by bare calls, about this process or one that is starting?

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Ends the process at once. Exit handlers are skipped: libdtrace's would take seconds to free what
/// the end of the process frees at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor but the standard three. Nothing may use one later.
pub(crate) fn close_inherited_descriptors() {
    #[cfg(target_os = "linux")]
    // SAFETY: called when a worker begins, before this process has opened anything; what it
    // inherited nobody here knows of. An older kernel refuses, and they stay open.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
    }
}

/// Forgets the environment, but for a search path.
///
/// # Panics
/// In a process with several threads, which may be reading it.
pub(crate) fn forget_environment() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    assert_eq!(threads, 1, "the environment is forgotten before threads are started");
    // SAFETY: there is only this thread.
    unsafe {
        let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
        names.into_iter().for_each(|name| std::env::remove_var(name));
        std::env::set_var("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    }
}

/// Starts the command in a session of its own, so that neither it nor what it starts has a terminal
/// to ask for a password at.
pub(crate) fn without_terminal(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls may be made:
    // setsid is one, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

/// A descriptor that stands for the process, and becomes readable when it ends.
pub(crate) fn watch_process(pid: i32) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes no pointers; what it returns, if no error, is a new descriptor that
    // nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0u32);
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        i32::try_from(fd).map(|fd| OwnedFd::from_raw_fd(fd)).map_err(io::Error::other)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        Err(io::ErrorKind::Unsupported.into())
    }
}
