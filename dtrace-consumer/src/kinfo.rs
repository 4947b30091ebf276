//! What FreeBSD's kernel says of a process, as ps(1) shows it.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;

/// Returns what the kernel says of a process.
pub(crate) fn process(pid: i32) -> io::Result<libc::kinfo_proc> {
    let name = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, pid];
    let mut process = MaybeUninit::<libc::kinfo_proc>::zeroed();
    let mut length = size_of::<libc::kinfo_proc>();
    // SAFETY: the call reads four numbers, and writes at most `length` bytes to the structure.
    let result = unsafe {
        libc::sysctl(name.as_ptr(), 4, process.as_mut_ptr().cast(), &raw mut length, ptr::null(), 0)
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // The kernel's structure keeps its size and the meaning of its fields.
    if length != size_of::<libc::kinfo_proc>() {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: it was written whole, and its fields are numbers, arrays of numbers, and pointers that nobody follows.
    Ok(unsafe { process.assume_init() })
}
