//! Replaces functions that libproc calls. libdtrace controls processes through libproc.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use crate::worker::between::called_function;

/// The type of ptrace(2).
pub(super) type Ptrace = unsafe extern "C" fn(c_int, libc::pid_t, *mut c_char, c_int) -> c_int;

/// Has the libproc of the libdtrace that contains `inside` call `ours` as `name`, and keeps in `next` what it has
/// called so far.
///
/// # Errors
/// libproc is not found, or does not call such a function.
///
/// # Safety
/// libdtrace has attached to no process yet, and was loaded with `RTLD_NOW`. `F` is a type of function pointers, and
/// libproc may call a function of that type as `name`.
pub(super) unsafe fn intercept<F: Copy>(
    inside: usize,
    name: &CStr,
    next: &OnceLock<F>,
    ours: F,
) -> io::Result<()> {
    let inside = in_libproc(inside).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the function proc_attach of libproc: not found")
    })?;
    // SAFETY: without a process, libproc is called by this thread only. The loader has filled in its addresses, because
    // libdtrace needs it. The caller guarantees the rest.
    unsafe { called_function::intercept(inside, name, next, ours) }
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
