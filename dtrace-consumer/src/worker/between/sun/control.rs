//! Limits which processes libdtrace controls on FreeBSD.
//!
//! libdtrace controls processes through libproc, which attaches to them by ptrace(2). That is so whether a script names a
//! process by a probe, or the names of its functions are wanted; for the names it only looks at what the kernel tells of
//! the process. So this replaces the function that libproc calls.
//!
//! On Linux this is for a stand-in for libdtrace.

use std::ffi::{c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::worker::between::called_function;
use crate::worker::between::controllable::{Controllable, may_control};

type Ptrace = unsafe extern "C" fn(c_int, libc::pid_t, *mut c_char, c_int) -> c_int;

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
    let inside = in_libproc(inside).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the function proc_attach of libproc: not found")
    })?;
    // SAFETY: libproc is called by this thread only: libdtrace has attached to no process yet. The loader has filled in its
    // addresses, because libdtrace, which needs it, was loaded with RTLD_NOW. The function has the type of ptrace(2).
    unsafe { called_function::intercept(inside, c"ptrace", &PTRACE, controls) }
}

/// Returns an address in the libproc that a libdtrace uses.
fn in_libproc(libdtrace: usize) -> Option<usize> {
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the first call only writes to the structure, for whose fields zeros are valid. The name ends in NUL. The
    // file is loaded already, and stays loaded.
    let function = unsafe {
        let address = ptr::with_exposed_provenance(libdtrace);
        if libc::dladdr(address, found.as_mut_ptr()) == 0 {
            return None;
        }
        let library =
            libc::dlopen(found.assume_init().dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD);
        if library.is_null() {
            return None;
        }
        // The loader also looks in the libraries that it needs.
        libc::dlsym(library, c"proc_attach".as_ptr())
    };
    (!function.is_null()).then(|| function.expose_provenance())
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
