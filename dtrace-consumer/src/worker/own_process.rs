//! Ends the worker process, and makes its environment and signals independent of who started it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::system::has_one_thread;

/// How long the kernel may list a thread that has been joined.
const JOINED: Duration = Duration::from_millis(100);

/// Ends the process at once, without exit handlers. libdtrace's take seconds to free what the end of the
/// process frees at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Returns the id of this process.
pub(super) fn id() -> i32 {
    std::process::id().cast_signed()
}

/// Returns the id of this process's parent.
pub(super) fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// In which process did a fork return?
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Forked {
    /// In the process that called it. The new process has this id.
    Calling(i32),
    New,
}

/// Makes a copy of this process. Fails if it has other threads, because the copy would be in the middle of what they
/// were doing.
pub(super) fn fork() -> io::Result<Forked> {
    let began = Instant::now();
    // The kernel lists a thread for a moment after it has been joined.
    while !has_one_thread() {
        if began.elapsed() > JOINED {
            return Err(io::Error::other("the process has several threads"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: this is the only thread, so the copy is in a state that this one has brought about.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Forked::Calling(child.as_raw())),
        ForkResult::Child => Ok(Forked::New),
    }
}

/// Finds something out in a copy of this process, which ends then. Returns `false` if there can be no copy.
pub(super) fn in_a_copy(find_out: fn() -> bool) -> bool {
    match fork() {
        Ok(Forked::New) => end(i32::from(!find_out())),
        Ok(Forked::Calling(pid)) => loop {
            match waitpid(Pid::from_raw(pid), None) {
                Err(Errno::EINTR) => {}
                ended => return matches!(ended, Ok(WaitStatus::Exited(_, 0))),
            }
        },
        Err(_) => false,
    }
}

/// Kills a child of this process, and waits for its end.
#[expect(clippy::disallowed_methods, reason = "nobody else waits for the children of a worker")]
pub(super) fn kill_child(pid: i32) {
    let pid = Pid::from_raw(pid);
    let _ = kill(pid, Signal::SIGKILL);
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Returns the wait status of a child of this process, if it has ended. Nobody can ask again.
pub(super) fn status_of_child(pid: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: the call only writes to `status`.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    (ended == pid).then_some(status)
}

/// Makes this process the leader of a group, so that Ctrl-C at the terminal does not reach it.
pub(super) fn lead_group() {
    // It fails only if it is one.
    let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
}

/// Replaces standard output and error.
pub(super) fn write_to(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<()> {
    nix::unistd::dup2_stdout(stdout)?;
    nix::unistd::dup2_stderr(stderr)?;
    Ok(())
}

/// Returns the exit status of a worker. The consumer reads standard error if no frame could report the error.
pub(super) fn status_of(served: io::Result<()>) -> i32 {
    match served {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("dtrace-consumer worker: {e}");
            1
        }
    }
}

/// Removes a variable from the environment, unless the process has several threads, which could be reading the
/// environment.
pub(crate) fn forget_variable(name: &str) {
    if has_one_thread() {
        // SAFETY: this is the only thread.
        unsafe { std::env::remove_var(name) };
    }
}

/// Restores the default handling of signals, because a worker inherits that of the user's process.
/// libdtrace waits for its children, and signals its threads.
///
/// Ignores the signal of a file that gets too large: the write then fails, which libdtrace reports.
pub(crate) fn handle_signals_as_usual() {
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    // SAFETY: neither the default action nor ignoring a signal runs code of this process.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Clears the environment except for a search path.
///
/// # Errors
/// The process has several threads, which could be reading the environment.
pub(crate) fn forget_environment() -> Result<(), String> {
    if !has_one_thread() {
        let problem = "cannot clear the environment: the process has several threads (do not preload libraries)";
        return Err(problem.to_owned());
    }
    // SAFETY: this is the only thread.
    unsafe {
        let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
        names.into_iter().for_each(|name| std::env::remove_var(name));
        std::env::set_var("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    }
    Ok(())
}
