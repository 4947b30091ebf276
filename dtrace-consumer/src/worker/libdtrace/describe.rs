//! Describes records and addresses for the stream.

use std::ffi::{c_int, c_void};

use dtrace_sys::abi::*;

use super::delivered::text_in;
use super::handle::Handle;
use super::platform::{self, Statements};
use crate::data::record::{Action, RecordDescription};

/// Returns the stream's description of a record, one of those that a firing or a key has.
pub(super) fn describe(
    handle: Handle,
    statements: &Statements,
    records: &[dtrace_recdesc_t],
    index: usize,
) -> RecordDescription {
    let r = &records[index];
    let (alignment, argument) = statements.nature(records, index);
    let action = platform::action_of(r);
    let has_format =
        matches!(action, Action::Printf | Action::Printa | Action::System | Action::Freopen);
    RecordDescription {
        action,
        offset: r.dtrd_offset,
        size: r.dtrd_size,
        alignment,
        // For printa() this is an address in this process.
        argument: if action == Action::Printa { 0 } else { argument },
        format: has_format.then(|| format_of(handle, statements, records, index)).flatten(),
    }
}

/// Returns the text of a record's compiled format, if it has one.
pub(super) fn format_of(
    handle: Handle,
    statements: &Statements,
    records: &[dtrace_recdesc_t],
    index: usize,
) -> Option<String> {
    // More than any script has: the compiler's limit on strings is far lower.
    const MOST_BYTES: usize = 1 << 20;
    let format: *mut c_void = platform::format_data(statements, records, index)?;
    let mut buffer = vec![0u8; 256];
    loop {
        // SAFETY: the handle is open, the format is that of a record with a printf-like action, and the
        // length is that of the buffer. Like snprintf, the function returns the whole length.
        let whole = unsafe {
            (handle.api.dtrace_printf_format)(
                handle.raw,
                format,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        if whole < buffer.len() {
            return Some(text_in(&buffer));
        }
        if whole > MOST_BYTES {
            return Some(String::new());
        }
        buffer = vec![0; whole + 1];
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
    whole(text_in(&buffer), address)
}

/// Returns the whole text of an address of which only the module is known. FreeBSD's library cuts that.
fn whole(text: String, address: u64) -> String {
    match text.split_once('`') {
        Some((module, number)) if number.starts_with("0x") => format!("{module}`{address:#x}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn an_address_without_a_function_is_whole() {
        for (text, expected) in [
            ("kernel`0xffffffff80", "kernel`0xffffffff805e58e0"),
            ("kernel`main+0x1f", "kernel`main+0x1f"),
            ("0xffffffff805e58e0", "0xffffffff805e58e0"),
        ] {
            assert_eq!(whole(text.to_owned(), 0xffff_ffff_805e_58e0), expected);
        }
    }
}
