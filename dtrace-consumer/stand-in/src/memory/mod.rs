//! How are the structures built that the stand-in delivers?
//!
//! Everything is on the heap, allocated to the exact byte, and never freed.

#[cfg(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")))]
#[path = "linux.rs"]
mod platform;
#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
#[path = "sun.rs"]
mod platform;

#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
mod programs;

use std::alloc::Layout;
use std::ffi::{CString, c_char};
use std::ptr;

use dtrace_sys::abi::{dtrace_ecbdesc_t, dtrace_stmtdesc_t};

pub(crate) use platform::*;
#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
pub(crate) use programs::{new_clause, statements};

/// Makes a C string that is never freed.
pub(crate) fn text(text: &str) -> *mut c_char {
    CString::new(text).expect("a plan's texts have no NUL").into_raw()
}

/// Makes a value that is never freed.
pub(crate) fn keep<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Makes an allocation of exactly these bytes that is never freed.
pub(crate) fn bytes(bytes: &[u8]) -> *mut c_char {
    Box::leak(bytes.to_vec().into_boxed_slice()).as_mut_ptr().cast()
}

/// Makes a copy of the first `length` bytes of a value that is never freed.
pub(crate) fn shortened<T>(value: &T, length: usize) -> *mut T {
    let layout = Layout::from_size_align(length, align_of::<T>()).expect("a small layout");
    // SAFETY: the length is not 0 and that of a part of the value.
    unsafe {
        let copy = std::alloc::alloc(layout);
        copy.copy_from(ptr::from_ref(value).cast(), length);
        copy.cast()
    }
}

/// Makes a list that is never freed. One without elements is at an address that nobody may read.
pub(crate) fn list<T>(list: Vec<T>) -> *mut T {
    Box::leak(list.into_boxed_slice()).as_mut_ptr()
}

/// Returns a misaligned address within an existing object.
pub(crate) fn crooked<T>(pointer: *mut T) -> *mut T {
    pointer.wrapping_byte_add(1)
}

/// Makes a statement of a clause.
pub(crate) fn statement(clause: *mut dtrace_ecbdesc_t) -> *mut dtrace_stmtdesc_t {
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut statement: dtrace_stmtdesc_t = unsafe { std::mem::zeroed() };
    statement.dtsd_ecbdesc = clause;
    keep(statement)
}
