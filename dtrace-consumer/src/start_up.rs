//! How does the user's executable become a worker?
//!
//! It is started with a marker in its environment, which the function here finds before `main` runs. Only
//! this module knows both the user's process and the worker.

use std::panic::catch_unwind;

use crate::stream::marker::{MARKER, MARKER_VALUE};
use crate::worker::{self, own_process, system};

// Miri runs a function before main only if its type is exactly the expected one.
#[cfg(not(miri))]
ctor::declarative::ctor! {
    // SAFETY: before main the standard library works, but two things need care. Descriptors 0 to 2 may be
    // closed: a worker opens those that are. A panic must not leave the hook: those of a worker are
    // caught. In any other process the hook only reads the environment and returns.
    #[ctor(unsafe)]
    fn before_main() {
        become_worker_if_asked();
    }
}

#[cfg_attr(miri, allow(dead_code))]
fn become_worker_if_asked() {
    if std::env::var_os(MARKER).is_none_or(|v| v != MARKER_VALUE)
        || system::privileges_were_raised()
    {
        return;
    }
    system::close_inherited_descriptors();
    system::open_standard_descriptors();
    // SAFETY: this runs before main, so no other thread exists.
    unsafe {
        // Programs that tracing starts with `system()` must not become workers.
        std::env::remove_var(MARKER);
        // A write to a consumer that is gone should fail, not kill this process. Rust's own start-up sets
        // this later. A handler, unlike SIG_IGN, is not inherited by programs that tracing starts.
        libc::signal(libc::SIGPIPE, do_nothing as *const () as libc::sighandler_t);
        // Ctrl-C reaches the user's process, which then ends the session.
        libc::signal(libc::SIGINT, do_nothing as *const () as libc::sighandler_t);
    }
    own_process::handle_signals_as_usual();
    let status = catch_unwind(worker::main).unwrap_or(101);
    own_process::end(status)
}

extern "C" fn do_nothing(_signal: i32) {}

/// Returns the address of code of this crate, to find the file that it was loaded from.
pub(crate) fn address_of_this_code() -> usize {
    become_worker_if_asked as *const () as usize
}
