//! Describes records and addresses for the stream.

use std::ffi::c_int;

use dtrace_sys::abi::*;

use super::delivered::text_in;
use super::handle::Handle;
use super::platform;
use crate::data::record::{Action, RecordDescription};

/// Returns the stream's description of a record.
pub(super) fn describe(handle: Handle, r: &dtrace_recdesc_t) -> RecordDescription {
    let action = Action::from_number(r.dtrd_action);
    let has_format =
        matches!(action, Action::Printf | Action::Printa | Action::System | Action::Freopen);
    RecordDescription {
        action,
        offset: r.dtrd_offset,
        size: r.dtrd_size,
        alignment: r.dtrd_alignment,
        // For printa() this is an address in this process.
        argument: if action == Action::Printa { 0 } else { r.dtrd_arg },
        // SAFETY: the record is the handle's, and its action has a format.
        format: has_format.then(|| unsafe { platform::format_of(handle, r) }).flatten(),
    }
}

/// Returns the symbol at an address, formatted by libdtrace: `module`function+0x1f`.
pub(super) fn resolve(handle: Handle, pid: u32, address: u64) -> String {
    let mut buffer = [0u8; 1024];
    let length = buffer.len() as c_int;
    // SAFETY: the handle is open, and the length is that of the buffer.
    unsafe {
        let start = buffer.as_mut_ptr().cast();
        if pid == 0 {
            (handle.api.dtrace_addr2str)(handle.raw, address, start, length);
        } else {
            let pid = libc::pid_t::try_from(pid).unwrap_or(-1);
            (handle.api.dtrace_uaddr2str)(handle.raw, pid, address, start, length);
        }
    }
    text_in(&buffer)
}
