//! What do the functions write that make files for programs with probes?

use std::ffi::{CStr, c_char, c_int};
#[cfg(not(dtrace_abi = "macos"))]
use std::ffi::{OsStr, c_uint};
#[cfg(not(dtrace_abi = "macos"))]
use std::os::unix::ffi::OsStrExt;

use dtrace_sys::abi::*;

use super::{enter, state};

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_header(
    _: *mut dtrace_hdl_t,
    file: *mut FILE,
    name: *const c_char,
) -> c_int {
    enter!("dtrace_program_header", -1);
    // SAFETY: the file is the caller's, and the name a C string.
    unsafe { libc::fprintf(file, c"/* %s */\n".as_ptr(), CStr::from_ptr(name).as_ptr()) };
    0
}

#[cfg(not(dtrace_abi = "macos"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_link(
    _: *mut dtrace_hdl_t,
    _: *mut dtrace_prog_t,
    _: c_uint,
    file: *const c_char,
    number: c_int,
    objects: *const *mut c_char,
) -> c_int {
    enter!("dtrace_program_link", -1);
    // SAFETY: the caller says how many C strings there are. A list without elements is not read.
    let names =
        (0..number.unsigned_abs() as usize).map(|at| unsafe { CStr::from_ptr(*objects.add(at)) });
    let text: Vec<u8> = names.flat_map(|name| [name.to_bytes(), b"\n"].concat()).collect();
    // SAFETY: a C string.
    let file = OsStr::from_bytes(unsafe { CStr::from_ptr(file) }.to_bytes());
    if std::fs::write(file, text).is_ok() { 0 } else { -1 }
}
