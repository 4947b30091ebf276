//! Validates the data that libdtrace passes to callbacks.
//!
//! Some properties cannot be checked here: that a pointer which is neither null nor misaligned points to a
//! value of its type, that lists are as long as the library says, and that strings end. Everything else is
//! checked before use: pointers for null and alignment, numbers for plausibility, and the position of records
//! against the size that the library gives for the data. Invalid data are [`Misdelivered`] and end the
//! session, because nothing that follows is reliable.

use std::ffi::{CStr, c_char};
use std::fmt;

use crate::data::sentences::INVALID_DATA;
use dtrace_sys::abi::dtrace_recdesc_t;

/// Invalid data from libdtrace.
#[derive(Debug)]
pub(super) struct Misdelivered(String);

impl Misdelivered {
    pub(super) fn new(what: impl Into<String>) -> Misdelivered {
        Misdelivered(what.into())
    }
}

impl fmt::Display for Misdelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{INVALID_DATA}: {}", self.0)
    }
}

/// More records than any clause or aggregation can have: each takes space in a D program, whose size the
/// kernel limits.
const MOST_RECORDS: usize = 1 << 16;

/// Checks that a pointer is neither null nor misaligned.
pub(super) fn address<T>(pointer: *const T, what: &str) -> Result<*const T, Misdelivered> {
    if pointer.is_null() {
        return Err(Misdelivered::new(format!("null pointer to {what}")));
    }
    if !pointer.is_aligned() {
        return Err(Misdelivered::new(format!("misaligned pointer to {what}")));
    }
    Ok(pointer)
}

/// Returns a reference to what a pointer points to.
///
/// # Safety
/// If the pointer is neither null nor misaligned, it points to a value that stays valid and unmodified for
/// `'a`.
pub(super) unsafe fn reference<'a, T>(
    pointer: *const T,
    what: &str,
) -> Result<&'a T, Misdelivered> {
    let pointer = address(pointer, what)?;
    // SAFETY: the pointer is neither null nor misaligned; the caller guarantees the rest.
    Ok(unsafe { &*pointer })
}

/// Returns a list of records, or of other values, one for each argument of an action.
///
/// # Safety
/// If the pointer is neither null nor misaligned and the number is plausible, it points to that many values,
/// which stay valid and unmodified for `'a`.
pub(super) unsafe fn list<'a, T>(
    start: *const T,
    number: impl TryInto<usize> + fmt::Display + Copy,
    what: &str,
) -> Result<&'a [T], Misdelivered> {
    let length = number.try_into().ok().filter(|length| *length <= MOST_RECORDS);
    let Some(length) = length else {
        return Err(Misdelivered::new(format!("implausible number of {what}: {number}")));
    };
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller guarantees it for the first value.
    unsafe { reference(start, what)? };
    // SAFETY: the caller guarantees it. The length is far below an overflow.
    Ok(unsafe { std::slice::from_raw_parts(start, length) })
}

/// Returns bytes of the length that the library gives.
///
/// # Safety
/// If the pointer is not null, it points to that many bytes, which stay valid and unmodified for `'a`.
pub(super) unsafe fn bytes<'a>(
    start: *const c_char,
    length: usize,
    what: &str,
) -> Result<&'a [u8], Misdelivered> {
    if length == 0 {
        return Ok(&[]);
    }
    if start.is_null() || isize::try_from(length).is_err() {
        return Err(Misdelivered::new(format!("{length} bytes of {what} at {start:p}")));
    }
    // SAFETY: the pointer is not null; the caller guarantees the rest.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// Refuses records that do not lie within data of `size` bytes.
pub(super) fn within(records: &[dtrace_recdesc_t], size: usize) -> Result<(), Misdelivered> {
    for (index, r) in records.iter().enumerate() {
        if r.dtrd_offset as usize + r.dtrd_size as usize > size {
            let (offset, length) = (r.dtrd_offset, r.dtrd_size);
            return Err(Misdelivered::new(format!(
                "record {index} at {offset} has {length} bytes and exceeds the {size} bytes of data"
            )));
        }
    }
    Ok(())
}

/// Returns the index of a record in its list.
pub(super) fn position(
    records: &[dtrace_recdesc_t],
    r: *const dtrace_recdesc_t,
) -> Result<usize, Misdelivered> {
    let distance = r.addr().wrapping_sub(records.as_ptr().addr());
    let index = distance / size_of::<dtrace_recdesc_t>();
    if !distance.is_multiple_of(size_of::<dtrace_recdesc_t>()) || index >= records.len() {
        return Err(Misdelivered::new("a record outside the list of its firing"));
    }
    Ok(index)
}

/// Copies a C string's text; empty for a null pointer.
///
/// # Safety
/// `text` is null or points to a string that ends in NUL and does not change during the call.
pub(super) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the pointer is not null; the caller guarantees the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Returns the text at the start of a buffer, up to its NUL or the end.
pub(super) fn text_in(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn record(offset: u32, size: u32) -> dtrace_recdesc_t {
        // SAFETY: the structure has only integers and a pointer or number, for which zeros are valid.
        let zero: dtrace_recdesc_t = unsafe { std::mem::zeroed() };
        dtrace_recdesc_t { dtrd_offset: offset, dtrd_size: size, ..zero }
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let value = 7u64;
        // SAFETY: the only pointer that passes the checks is that of `value`.
        unsafe {
            assert_eq!(*reference(&raw const value, "it").unwrap(), 7);
            assert!(reference(ptr::null::<u64>(), "it").is_err());
            assert!(reference((&raw const value).byte_add(1), "it").is_err());
            assert_eq!(list(&raw const value, 1, "of them").unwrap(), [7]);
            assert!(list(ptr::null::<u64>(), 0, "of them").unwrap().is_empty());
            assert!(list(ptr::null::<u64>(), 1, "of them").is_err());
            for number in [-1, i32::MAX] {
                assert!(list(&raw const value, number, "of them").is_err(), "{number}");
            }
            assert!(bytes(ptr::null(), 1, "data").is_err());
        }
    }

    #[test]
    fn records_lie_within_their_data() {
        assert!(within(&[record(16, 4), record(20, 0)], 20).is_ok());
        let error = within(&[record(16, 4), record(20, 8)], 24).unwrap_err().to_string();
        assert!(error.contains("record 1 at 20 has 8 bytes and exceeds the 24"), "{error}");
        assert!(within(&[record(u32::MAX, u32::MAX)], 1 << 20).is_err());
    }

    #[test]
    fn a_record_is_known_by_its_address() {
        let records = [record(0, 1), record(1, 1)];
        assert_eq!(position(&records, &raw const records[1]).unwrap(), 1);
        for other in [
            records.as_ptr_range().end,
            records.as_ptr().wrapping_byte_add(4),
            records.as_ptr().wrapping_sub(1),
            ptr::null(),
        ] {
            assert!(position(&records, other).is_err());
        }
    }
}
