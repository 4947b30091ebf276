//! Corrects what FreeBSD's libproc does to processes that it is attached to.
//!
//! libproc stops a process to remove a breakpoint from it, and to let go of it, and takes whatever stops it first for that
//! stop. If that is a signal, the process does not get it; so this passes it on. If it is a breakpoint, see
//! [`breakpoints`].
//!
//! FreeBSD 12.1 gives a process whose parent ends to the reaper, which is init unless a program has made itself one, as
//! timeout(1) does. If libproc is attached to the process, only its parent's number changes. When libproc then waits for its
//! end, the kernel gives it to init. But init is not the parent that is noted, so each wait of init returns this process
//! again without reaping it, and init loops (`proc_reap` and `proc_realparent` in sys/kern/kern_exit.c; the main branch has
//! corrected it). So libproc gets the status of such a process, but does not reap it. When this process ends, the kernel
//! gives it to its reaper. One that libproc lets go of alive still comes to init in that way.

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::breakpoints;
use super::libproc::{self, Ptrace};
use crate::worker::system::parent_of;

type Wait = unsafe extern "C" fn(libc::pid_t, *mut c_int, c_int) -> libc::pid_t;

unsafe extern "C" {
    fn wait6(
        kind: libc::idtype_t,
        number: libc::id_t,
        status: *mut c_int,
        options: c_int,
        usage: *mut c_void,
        information: *mut libc::siginfo_t,
    ) -> libc::pid_t;
}

static PTRACE: OnceLock<Ptrace> = OnceLock::new();
static WAIT: OnceLock<Wait> = OnceLock::new();

/// The processes that libproc is attached to.
static ATTACHED: Mutex<Vec<Attached>> = Mutex::new(Vec::new());

struct Attached {
    pid: i32,
    /// Its parent before libproc attached to it.
    parent: Option<i32>,
    /// The signal that has stopped it, or 0. libproc's own signals are not meant for the process.
    signal: c_int,
}

/// Corrects what the libproc of the libdtrace that contains `inside` does.
///
/// # Errors
/// libproc is not found, or does not call waitpid(2) and ptrace(2) as expected.
pub(super) fn correct(inside: usize) -> io::Result<()> {
    // SAFETY: libdtrace has only been opened. The functions have the types of waitpid(2) and ptrace(2).
    unsafe {
        libproc::intercept(inside, c"waitpid", &WAIT, wait)?;
        libproc::intercept(inside, c"ptrace", &PTRACE, ptrace)
    }
}

/// Takes the place of `waitpid` for libproc.
unsafe extern "C" fn wait(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t {
    // It is set before this function's address is.
    let Some(wait) = WAIT.get() else { return -1 };
    loop {
        let mut seen = 0;
        // SAFETY: the call only writes the status, and leaves the process to be waited for.
        let found = unsafe { wait(pid, &raw mut seen, options | libc::WNOWAIT) };
        if found <= 0 {
            return found;
        }
        if !libc::WIFSTOPPED(seen) && !is_orphan(found) {
            // SAFETY: it is the caller's call. The one above has changed nothing.
            return unsafe { wait(pid, status, options) };
        }
        if libc::WIFSTOPPED(seen) && !take_stop(found, &mut seen) {
            continue;
        }
        if !status.is_null() {
            // SAFETY: the caller wants the status there.
            unsafe { status.write(seen) };
        }
        return found;
    }
}

/// Takes the stop of a process, as a wait does, and notes its signal. Returns `false` if it has ended since.
fn take_stop(pid: i32, status: &mut c_int) -> bool {
    let stops = libc::WTRAPPED | libc::WUNTRACED | libc::WNOHANG;
    // SAFETY: the call only writes the status.
    let taken =
        unsafe { wait6(libc::P_PID, pid.into(), status, stops, ptr::null_mut(), ptr::null_mut()) };
    if taken != pid {
        return false;
    }
    let own = [libc::SIGSTOP, libc::SIGTRAP].contains(&libc::WSTOPSIG(*status));
    of(pid, |it| it.signal = if own { 0 } else { libc::WSTOPSIG(*status) });
    true
}

/// Takes the place of `ptrace` for libproc.
unsafe extern "C" fn ptrace(
    request: c_int,
    pid: libc::pid_t,
    address: *mut c_char,
    data: c_int,
) -> c_int {
    // It is set before this function's address is.
    let Some(ptrace) = PTRACE.get() else { return -1 };
    if request == libc::PT_ATTACH {
        let parent = parent_of(pid);
        of(pid, |it| *it = Attached { pid, parent, signal: 0 });
    }
    let goes_on = [libc::PT_CONTINUE, libc::PT_DETACH].contains(&request);
    let signal = if goes_on && data == 0 { of(pid, |it| it.signal) } else { data };
    if goes_on {
        breakpoints::put_back(pid);
    }
    // SAFETY: the caller describes the transfer there.
    if request == libc::PT_IO && unsafe { breakpoints::is_gone(pid, address.cast()) } {
        return 0;
    }
    // SAFETY: it is the caller's call, but for a signal.
    let result = unsafe { ptrace(request, pid, address, signal) };
    if result == 0 && goes_on {
        of(pid, |it| it.signal = 0);
    }
    if result == 0 && request == libc::PT_IO {
        // SAFETY: the caller describes the transfer there.
        unsafe { breakpoints::note(pid, address.cast()) };
    }
    if result == 0 && request == libc::PT_DETACH {
        ATTACHED.lock().retain(|it| it.pid != pid);
        breakpoints::forget(pid);
    }
    result
}

/// Looks at what is known of a process, or changes it.
fn of<T>(pid: i32, look: impl FnOnce(&mut Attached) -> T) -> T {
    let mut attached = ATTACHED.lock();
    let known = attached.iter().position(|it| it.pid == pid);
    let known = known.unwrap_or_else(|| {
        attached.push(Attached { pid, parent: None, signal: 0 });
        attached.len() - 1
    });
    look(&mut attached[known])
}

/// Returns whether a process has been given to a reaper other than init since libproc attached to it.
fn is_orphan(pid: i32) -> bool {
    const INIT: i32 = 1;
    let parents = of(pid, |it| it.parent).zip(parent_of(pid));
    parents.is_some_and(|(before, now)| before != now && now != INIT)
}
