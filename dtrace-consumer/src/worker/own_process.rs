//! Ends the worker process, and makes its environment and signals independent of who started it.

/// Ends the process at once, without exit handlers. libdtrace's take seconds to free what the end of the
/// process frees at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
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

/// Returns whether this thread is the process's only one, so that nobody else starts another.
pub(crate) fn has_one_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
