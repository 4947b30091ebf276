//! Which processes is libdtrace attached to, and how does it let go of them?
//!
//! libdtrace attaches to processes as a debugger does: to those that it grabs, and to those whose stacks it
//! names. Two things go wrong there in 2.0.7, besides those with breakpoints (`breakpoints.rs`) and with what
//! libdtrace reads of a process that runs (`process_reads.rs`).
//!
//! When such a process executes another program, libdtrace makes a new handle for it, without the
//! functions that pass requests to the attached thread. The next look-up of a symbol then waits in
//! the wrong thread forever, and holds the lock that the right one needs. So this module comes
//! between libdtrace and the kernel: it replaces the function `waitpid`, detaches from a process
//! that has executed a program, and reports to libdtrace that the process has ended. libdtrace's
//! breakpoints have vanished with the old program. The next look-up attaches to the new program as
//! to any other.
//!
//! Closing a handle releases processes, but only after all probes have been disabled, which takes up to
//! seconds for hundreds of probes. Meanwhile nobody else can attach to the processes. So this
//! module also replaces the function `close`: it leaves the descriptors of the probes open, and
//! libdtrace comes to the processes at once.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::io;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use parking_lot::Mutex;

use super::breakpoints;
use super::process_reads;
use crate::worker::between::called_function;
use crate::worker::system::linux::held_process::is_traced;

type WaitPid = unsafe extern "C" fn(libc::pid_t, *mut c_int, c_int) -> libc::pid_t;
type Close = unsafe extern "C" fn(c_int) -> c_int;
type Ptrace = unsafe extern "C" fn(c_uint, libc::pid_t, *mut c_void, *mut c_void) -> c_long;

static WAITPID: OnceLock<WaitPid> = OnceLock::new();
static CLOSE: OnceLock<Close> = OnceLock::new();
static PTRACE: OnceLock<Ptrace> = OnceLock::new();

/// The processes that libdtrace has waited for: it waits for all that it is attached to.
static WAITED_FOR: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// The processes that were let go because they executed a program.
static LET_GO: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether libdtrace's descriptors stay open when it closes them.
static KEEP_OPEN: AtomicBool = AtomicBool::new(false);

/// Watches which processes the libdtrace that contains `inside` attaches to, and detaches it from those that
/// execute a program.
///
/// # Errors
/// The library calls `ptrace`, but not the other functions that this module replaces.
pub(crate) fn watch_attachments(inside: usize) -> io::Result<()> {
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. The types are those of
    // the C library's functions. `ptrace` has variable arguments; libdtrace always passes all four, which are passed
    // like those of `Ptrace`.
    unsafe {
        let attaches = called_function::replace(inside, c"ptrace", |_| ()).is_ok();
        let watched = called_function::intercept(inside, c"waitpid", &WAITPID, waits)
            .and_then(|()| called_function::intercept(inside, c"close", &CLOSE, closes))
            .and_then(|()| process_reads::come_between(inside));
        match (watched, attaches) {
            // Last: what it refuses, `waits` has to make good.
            (Ok(()), true) => called_function::intercept(inside, c"ptrace", &PTRACE, traces),
            (Err(error), true) => Err(error),
            (_, false) => Ok(()),
        }
    }
}

/// Does nothing: the calls by which libdtrace attaches are watched.
pub(in crate::worker) fn attached_to(_: i32) {}

/// Returns whether the process was let go because it executed a program. If so, libdtrace has
/// reported its end, or will.
pub(crate) fn was_let_go(pid: i32) -> bool {
    LET_GO.lock().contains(&pid)
}

/// Returns whether this process is attached to any other.
pub(crate) fn is_attached() -> bool {
    let waited_for = WAITED_FOR.lock().clone();
    waited_for.into_iter().any(is_traced)
}

/// Keeps libdtrace's descriptors open while it closes its handle, so that it releases the processes
/// at once. The end of this process closes them.
pub(crate) fn keep_descriptors() {
    KEEP_OPEN.store(true, Ordering::Release);
}

/// Takes the place of `waitpid` for libdtrace.
unsafe extern "C" fn waits(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t {
    // It is set before this function's address is.
    let Some(next) = WAITPID.get() else { return -1 };
    WAITED_FOR.lock().insert(pid);
    process_reads::forget();
    // The wait for the program of a process that libdtrace itself starts has no options.
    if options & libc::__WALL == 0 {
        // SAFETY: it is the caller's call.
        return unsafe { next(pid, status, options) };
    }
    // SAFETY: it is the caller's call, which may not block.
    let wait = |more: c_int| unsafe { next(pid, status, options | more) };
    let changed = if options & libc::__WNOTHREAD != 0 {
        wait_for_start(wait)
    } else if options & libc::WNOHANG == 0 && !breakpoints::has_breakpoints(pid) {
        breakpoints::wait_briefly(|| wait(libc::WNOHANG))
    } else {
        wait(0)
    };
    if changed > 0 && !status.is_null() {
        // SAFETY: the call has written the status, which the caller owns.
        let status = unsafe { &mut *status };
        *status = catch_unwind(|| seen(changed, *status)).unwrap_or(*status);
    }
    changed
}

/// Waits for a new child or thread, from which libdtrace then detaches. A signal ends a wait. libdtrace sends
/// one to a thread that is to do something else, and after that would leave the child attached and stopped.
fn wait_for_start(wait: impl Fn(c_int) -> libc::pid_t) -> libc::pid_t {
    loop {
        let changed = wait(0);
        if changed >= 0 || Errno::last() != Errno::EINTR {
            return changed;
        }
    }
}

/// Returns the status that libdtrace is to see of a process that has changed.
fn seen(pid: libc::pid_t, status: c_int) -> c_int {
    const EXECUTES: c_int = libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8;
    const STARTS_THREAD: c_int = libc::SIGTRAP | libc::PTRACE_EVENT_CLONE << 8;
    if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) || status >> 8 == EXECUTES {
        breakpoints::forget(pid);
    }
    if status >> 8 == EXECUTES && detach(pid) {
        LET_GO.lock().insert(pid);
        // What waitpid(2) reports for exit(0).
        return 0;
    }
    if status >> 8 == STARTS_THREAD {
        breakpoints::take_back(pid);
    }
    breakpoints::trap_before(pid, status).unwrap_or(status)
}

/// Takes the place of `ptrace` for libdtrace.
unsafe extern "C" fn traces(
    request: c_uint,
    pid: libc::pid_t,
    address: *mut c_void,
    data: *mut c_void,
) -> c_long {
    let Some(next) = PTRACE.get() else { return -1 };
    if !matches!(request, libc::PTRACE_PEEKTEXT | libc::PTRACE_PEEKDATA) {
        process_reads::forget();
    }
    let is_write = matches!(request, libc::PTRACE_POKETEXT | libc::PTRACE_POKEDATA);
    let may_write = || breakpoints::may_write(pid, address.addr(), data.addr());
    if is_write && !catch_unwind(may_write).unwrap_or(false) {
        return 0;
    }
    if request == libc::PTRACE_SEIZE {
        // What is known is of an earlier attachment, or of an earlier process with this number.
        breakpoints::forget(pid);
    }
    // SAFETY: it is the caller's call.
    unsafe { next(request, pid, address, data) }
}

/// Detaches from a stopped process, which then runs. Returns whether this thread was attached to it.
fn detach(pid: libc::pid_t) -> bool {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the request touches no memory of this process.
    let result = unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, none, none) };
    result == 0 || Errno::last() != Errno::ESRCH
}

/// Takes the place of `close` for libdtrace.
unsafe extern "C" fn closes(descriptor: c_int) -> c_int {
    process_reads::forget_closed(descriptor);
    if KEEP_OPEN.load(Ordering::Acquire) {
        return 0;
    }
    match CLOSE.get() {
        // SAFETY: it is the caller's call.
        Some(next) => unsafe { next(descriptor) },
        None => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The caller may have no place for the status, and one that is allocated to the byte.
    #[test]
    fn a_status_is_read_and_written_only_where_the_caller_has_a_place() {
        const EXITED: c_int = 7 << 8;
        unsafe extern "C" fn ended(pid: libc::pid_t, status: *mut c_int, _: c_int) -> libc::pid_t {
            if !status.is_null() {
                // SAFETY: the caller has a place.
                unsafe { status.write(EXITED) };
            }
            pid
        }
        let _ = WAITPID.set(ended);
        // No process has such a number.
        let pid = libc::pid_t::MAX;
        for options in
            [0, libc::__WALL, libc::__WALL | libc::WNOHANG, libc::__WALL | libc::__WNOTHREAD]
        {
            let mut status = Box::new(-1);
            // SAFETY: there is no place.
            assert_eq!(unsafe { waits(pid, ptr::null_mut(), options) }, pid);
            // SAFETY: there is one.
            assert_eq!(unsafe { waits(pid, &raw mut *status, options) }, pid);
            assert_eq!(*status, EXITED);
        }
    }
}
