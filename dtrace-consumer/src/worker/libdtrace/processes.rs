//! Grabs processes.

use dtrace_sys::abi::*;

use super::handle::{CallFailure, Handle};
use super::platform;

/// Grabs a running process. `hold` is whether to stop it and attach to it.
pub(super) fn grab(
    handle: Handle,
    pid: i32,
    hold: bool,
) -> Result<*mut dtrace_proc_handle_t, CallFailure> {
    let call = platform::GRAB;
    // SAFETY: the handle is open, and no other thread uses it.
    let process = unsafe { platform::grab(handle, pid, hold) }.ok_or_else(|| CallFailure {
        call,
        number: 0,
        message: format!("this libdtrace has no {call}"),
    })?;
    if process.is_null() { Err(handle.failure(call)) } else { Ok(process) }
}
