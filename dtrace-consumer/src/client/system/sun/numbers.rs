//! Numbers that a kernel has under a name, as sysctl(8) shows them.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::ptr;

/// Returns the number with this name.
pub(super) fn of_kernel(name: &str) -> io::Result<i32> {
    let name = CString::new(name)?;
    let (mut number, mut length) = (0i32, size_of::<i32>());
    // SAFETY: the name ends in NUL, and the call writes at most `length` bytes to the number.
    let result = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            (&raw mut number).cast(),
            &raw mut length,
            ptr::null_mut(),
            0,
        )
    };
    match result {
        0 if length == size_of::<i32>() => Ok(number),
        0 => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::last_os_error()),
    }
}
