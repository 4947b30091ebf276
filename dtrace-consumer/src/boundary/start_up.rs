//! How does the user's executable become a worker? By being started with a marker in its environment,
//! which the function here finds before `main` runs.

use std::panic::catch_unwind;

use super::own_process;

/// Set in the environment of a process that is to be a worker; its value is the version of what the
/// two sides say to each other.
pub(crate) const MARKER: &str = "DTRACE_CONSUMER_WORKER";

/// The value of [`MARKER`] for this version of the crate.
pub(crate) const MARKER_VALUE: &str = "1";

// Miri runs no function before main whose type is not exactly the one that it expects.
#[cfg(not(miri))]
ctor::declarative::ctor! {
    // SAFETY: before main the standard library works, but promises less: descriptors 0 to 2 may be
    // closed, and a panic must not leave the hook. A worker is started with all three open, and its
    // panics are caught. In any other process the hook only reads the environment and returns.
    #[ctor(unsafe)]
    fn before_main() {
        become_worker_if_asked();
    }
}

#[cfg_attr(miri, allow(dead_code))]
fn become_worker_if_asked() {
    if std::env::var_os(MARKER).is_none_or(|v| v != MARKER_VALUE) || privileges_were_raised() {
        return;
    }
    own_process::close_inherited_descriptors();
    // SAFETY: no other thread exists yet: this runs before main.
    unsafe {
        // Programs that tracing starts, by `system()`, must not become workers.
        std::env::remove_var(MARKER);
        // A write to a consumer that is gone shall fail, not kill. Rust's own start-up does this
        // later. A handler, unlike SIG_IGN, is not inherited by programs that tracing starts.
        libc::signal(libc::SIGPIPE, do_nothing as *const () as libc::sighandler_t);
        // Ctrl-C is for the user's process, which then ends the session.
        libc::signal(libc::SIGINT, do_nothing as *const () as libc::sighandler_t);
    }
    let status = catch_unwind(crate::worker::main).unwrap_or(101);
    own_process::end(status)
}

extern "C" fn do_nothing(_signal: i32) {}

/// Whether this process runs with more privileges than whoever started it (set-uid and the like), so
/// that nothing in its environment may decide what it does.
pub(crate) fn privileges_were_raised() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: always sound.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: always sound.
        unsafe { libc::getuid() != libc::geteuid() || libc::getgid() != libc::getegid() }
    }
}

/// The address of code of this crate, to find out which file it was loaded from.
pub(crate) fn address_of_this_code() -> usize {
    become_worker_if_asked as *const () as usize
}
