//! How does a worker end, and forget what it was started with?

/// Ends the process at once. Exit handlers are skipped: libdtrace's would take seconds to free what
/// the end of the process frees at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(status) }
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
