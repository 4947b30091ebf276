//! Limits which processes libdtrace controls on FreeBSD.
//!
//! libdtrace controls processes through libproc, which attaches to them by ptrace(2). That is so whether a script names a
//! process by a probe, or the names of its functions are wanted; for the names it only looks at what the kernel tells of
//! the process. So this replaces the function that libproc calls.

use std::ffi::{c_char, c_int};
use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::worker::between::called_function;
use crate::worker::between::controllable::{Controllable, may_control};

type Ptrace = unsafe extern "C" fn(c_int, libc::pid_t, *mut c_char, c_int) -> c_int;

static PTRACE: OnceLock<Ptrace> = OnceLock::new();

/// Limits what libdtrace may control.
///
/// # Errors
/// libproc is not loaded, or does not call ptrace(2) as expected.
pub(super) fn limit(controllable: Controllable) -> io::Result<()> {
    controllable.set();
    // SAFETY: the name ends in NUL. libdtrace needs the library, so the loader has loaded it before.
    let inside = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"proc_attach".as_ptr()) };
    if inside.is_null() {
        return Err(io::Error::other("libproc has no proc_attach"));
    }
    // SAFETY: libproc is called by this thread only: libdtrace has attached to no process yet. The function has the type
    // of ptrace(2).
    unsafe { called_function::intercept(inside.addr(), c"ptrace", &PTRACE, controls) }
}

/// Takes the place of `ptrace` for libproc.
unsafe extern "C" fn controls(
    request: c_int,
    pid: libc::pid_t,
    address: *mut c_char,
    data: c_int,
) -> c_int {
    // It is set before this function's address is.
    let Some(ptrace) = PTRACE.get() else { return -1 };
    // Any other request needs a process that is attached to.
    if request == libc::PT_ATTACH && !may_control(pid) {
        Errno::EPERM.set();
        return -1;
    }
    // SAFETY: it is the caller's call.
    unsafe { ptrace(request, pid, address, data) }
}
