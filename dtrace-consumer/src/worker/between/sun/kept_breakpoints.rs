//! Leaves breakpoints to libproc, on processors that stop at the breakpoint itself: nothing has to be put back there. After
//! exec(2), libproc still writes to the other program.

/// Notes nothing.
///
/// # Safety
/// None.
pub(super) unsafe fn note(_: i32, _: *const libc::ptrace_io_desc) {}

/// Forgets nothing.
pub(super) fn forget(_: i32) {}

/// Returns `false`: it is not known.
///
/// # Safety
/// None.
pub(super) unsafe fn is_gone(_: i32, _: *const libc::ptrace_io_desc) -> bool {
    false
}

/// Does nothing.
pub(super) fn put_back(_: i32) {}
