//! Limits which processes libdtrace controls on FreeBSD.
//!
//! libdtrace controls processes through libproc, which attaches to them by ptrace(2). That is so whether a script names a
//! process by a probe, or the names of its functions are wanted; for the names it only looks at what the kernel tells of
//! the process. So this replaces the function that libproc calls.
//!
//! On Linux this is for a stand-in for libdtrace.

use std::ffi::{c_char, c_int};
use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;

use super::libproc::{self, Ptrace};
use crate::worker::between::controllable::{Controllable, may_control};

/// Whether a request attaches to a process. Any other request needs a process that is attached to.
fn attaches(request: c_int) -> bool {
    #[cfg(target_os = "freebsd")]
    return request == libc::PT_ATTACH;
    #[cfg(target_os = "linux")]
    matches!(request.cast_unsigned(), libc::PTRACE_ATTACH | libc::PTRACE_SEIZE)
}

static PTRACE: OnceLock<Ptrace> = OnceLock::new();

/// Limits what the libdtrace that contains `inside` may control.
///
/// # Errors
/// libproc is not found, or does not call ptrace(2) as expected.
pub(super) fn limit(inside: usize, controllable: Controllable) -> io::Result<()> {
    controllable.set();
    // SAFETY: libdtrace has only been opened. The function has the type of ptrace(2).
    unsafe { libproc::intercept(inside, c"ptrace", &PTRACE, controls) }
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
    if attaches(request) && !may_control(pid) {
        Errno::EPERM.set();
        return -1;
    }
    // SAFETY: it is the caller's call.
    unsafe { ptrace(request, pid, address, data) }
}
