//! Was this process started with more privileges?

use std::ffi::c_int;

unsafe extern "C" {
    fn issetugid() -> c_int;
}

/// Returns whether this process has more privileges than whoever started it (set-uid and the like). Its
/// environment must then not decide what it does.
pub(crate) fn privileges_were_raised() -> bool {
    // SAFETY: the call has no preconditions, and each of these systems has it.
    unsafe { issetugid() != 0 }
}
