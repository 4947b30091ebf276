//! How does the user's executable become a worker?
//!
//! It is started with a marker in its environment, which the function here finds before `main` runs. Only
//! this module knows both the user's process and the worker.

use std::panic::catch_unwind;

use crate::stream::marker::{MARKER, Meaning, REFUSED, meaning};
use crate::worker::{self, own_process, system};

// Miri runs a function before main only if its type is exactly the expected one.
#[cfg(not(miri))]
ctor::declarative::ctor! {
    // SAFETY: before main the standard library works, but three things need care. Descriptors 0 to 2 may be
    // closed: a worker opens those that are. A panic must not leave the hook: a worker's panics are
    // caught. A shared library's initialiser may have started threads, so the hook changes nothing
    // that they may be using. In a process that is no worker the hook only reads the environment
    // and returns.
    #[ctor(unsafe)]
    fn before_main() {
        become_worker_if_asked();
    }
}

#[cfg_attr(miri, allow(dead_code))]
fn become_worker_if_asked() {
    let Some(value) = std::env::var_os(MARKER) else { return };
    if system::privileges_were_raised() {
        return;
    }
    match meaning(&value, system::inode_of_input()) {
        Meaning::Inherited => return,
        Meaning::Worker => {}
        // The program would run a second time, unexpectedly.
        Meaning::Unknown => {
            eprintln!(
                "dtrace-consumer: this program was started as a worker ({MARKER}={}) by another version of \
                 dtrace-consumer (build both programs with the same version, or remove the variable)",
                value.display()
            );
            own_process::end(REFUSED);
        }
    }
    system::close_inherited_descriptors();
    system::open_standard_descriptors();
    // Programs that tracing starts do not need it. They recognise that it is not for them, so it may stay.
    own_process::forget_variable(MARKER);
    // SAFETY: a handler may be set at any time, and this one does nothing, so it may run at any time.
    unsafe {
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

/// Returns why another process of this program would not become a worker, if this one did not.
pub(crate) fn obstacle() -> Option<String> {
    let value = std::env::var_os(MARKER)?;
    // Such a process would start another one, and so on without end.
    let was_to_be_worker = meaning(&value, system::inode_of_input()) != Meaning::Inherited;
    was_to_be_worker.then(|| {
        let why = if system::privileges_were_raised() {
            "it has raised privileges (set-uid, set-gid or file capabilities)"
        } else {
            "its start-up hook did not run"
        };
        format!(
            "{MARKER} is set in the environment, but this process did not become a worker: {why} (name a \
             worker program with `worker(path)`, such as dtrace-worker)"
        )
    })
}

/// Returns the address of code of this crate, to find the file that it was loaded from.
pub(crate) fn address_of_this_code() -> usize {
    become_worker_if_asked as *const () as usize
}
