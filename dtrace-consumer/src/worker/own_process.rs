//! Ends the worker process, and makes its environment and signals independent of who started it.

/// Ends the process at once, without exit handlers. libdtrace's take seconds to free what the end of the
/// process frees at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Undoes what the user's process does with its signals, which a worker inherits. libdtrace waits for its
/// children, and signals its threads.
pub(crate) fn handle_signals_as_usual() {
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    // SAFETY: the default action is no code of this process.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Clears the environment except for a search path.
///
/// # Panics
/// Panics if the process has several threads, which could be reading the environment.
pub(crate) fn forget_environment() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    assert_eq!(threads, 1, "clearing the environment requires a single thread");
    // SAFETY: this is the only thread.
    unsafe {
        let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
        names.into_iter().for_each(|name| std::env::remove_var(name));
        std::env::set_var("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    }
}
