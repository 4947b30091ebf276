//! Grabs and starts processes.

use std::ffi::{CString, c_char};
use std::ptr;

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

/// Starts a process. Returns its handle, and its pid if the library reports it.
pub(super) fn create(
    handle: Handle,
    words: &[String],
) -> Result<(*mut dtrace_proc_handle_t, Option<i32>), CallFailure> {
    let call = "dtrace_proc_create";
    let words: Result<Vec<CString>, _> = words.iter().map(|w| CString::new(w.as_str())).collect();
    let words = words.ok().filter(|words| !words.is_empty()).ok_or(CallFailure {
        call,
        number: libc::EINVAL,
        message: "a command must name a program and contain no NUL byte".to_owned(),
    })?;
    let mut argv: Vec<*mut c_char> = words.iter().map(|w| w.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());
    // SAFETY: the handle is open. The words are C strings that outlive the call; there is at least one, and
    // their list ends with null.
    let process = unsafe { platform::create(handle, &argv) };
    if process.is_null() {
        return Err(handle.failure(call));
    }
    let pid = handle.api.dtrace_proc_getpid;
    // SAFETY: handle and process are valid.
    Ok((process, pid.map(|pid| unsafe { pid(handle.raw, process) })))
}
