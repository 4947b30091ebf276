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

/// Returns the numbers of the files that a process has open.
pub(crate) fn descriptors(pid: i32) -> io::Result<Vec<i32>> {
    let name = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_FILEDESC, pid];
    let mut list = Vec::<u8>::new();
    loop {
        let into = if list.capacity() == 0 { ptr::null_mut() } else { list.as_mut_ptr().cast() };
        let mut length = list.capacity();
        // SAFETY: the call reads four numbers, and writes at most `length` bytes to the list, which has room for as
        // many. With a null pointer it only counts.
        let result =
            unsafe { libc::sysctl(name.as_ptr(), 4, into, &raw mut length, ptr::null(), 0) };
        let error = io::Error::last_os_error();
        match result {
            0 if !into.is_null() => {
                // SAFETY: so many bytes were written.
                unsafe { list.set_len(length.min(list.capacity())) };
                return Ok(numbers_in(&list));
            }
            // More may be opened until the next call.
            0 => list.reserve(length + 4096),
            _ if error.raw_os_error() == Some(libc::ENOMEM) => list.reserve(2 * list.capacity()),
            _ => return Err(error),
        }
    }
}

/// Reads the numbers of descriptors in the kernel's list: of each entry the first word is its size, and the third one
/// the number, which is negative for files without a descriptor, such as the working directory.
fn numbers_in(mut list: &[u8]) -> Vec<i32> {
    let mut numbers = Vec::new();
    while let Some(head) = list.first_chunk::<12>() {
        let [size, _, number] = [0, 4, 8]
            .map(|at| i32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        numbers.push(number);
        let Some(rest) = usize::try_from(size).ok().filter(|size| *size > 0) else { break };
        list = list.get(rest..).unwrap_or_default();
    }
    numbers.retain(|number| *number >= 0);
    numbers
}
