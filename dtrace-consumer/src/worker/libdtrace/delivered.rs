//! What may be believed of what libdtrace hands to a callback?
//!
//! That a pointer which is not null and is aligned points to what its type says, that lists are as long
//! as the library says, and that strings end: none of that can be seen from here. What can be seen is
//! checked before it is relied on: pointers for null and alignment, numbers for plausibility, and
//! where a record lies against the size that the library itself gives for the data. What does not fit is
//! [`Misdelivered`], and ends the session: nothing that comes after it could be believed.

use std::ffi::{CStr, c_char};
use std::fmt;

use dtrace_sys::abi::dtrace_recdesc_t;

/// What is invalid of what libdtrace delivered.
#[derive(Debug)]
pub(super) struct Misdelivered(String);

impl Misdelivered {
    pub(super) fn new(what: impl Into<String>) -> Misdelivered {
        Misdelivered(what.into())
    }
}

impl fmt::Display for Misdelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid data from libdtrace: {}", self.0)
    }
}

/// More records than any clause or aggregation can have: each takes a place in a D program that the
/// kernel bounds.
const MOST_RECORDS: usize = 1 << 16;

/// An address that may be one of such a value.
pub(super) fn address<T>(pointer: *const T, what: &str) -> Result<*const T, Misdelivered> {
    if pointer.is_null() {
        return Err(Misdelivered::new(format!("{what} at a null address")));
    }
    if !pointer.is_aligned() {
        return Err(Misdelivered::new(format!("{what} at a misaligned address")));
    }
    Ok(pointer)
}

/// What a pointer points to.
///
/// # Safety
/// If the pointer is neither null nor misaligned, it points to a value that stays and is not written
/// to for `'a`.
pub(super) unsafe fn reference<'a, T>(
    pointer: *const T,
    what: &str,
) -> Result<&'a T, Misdelivered> {
    let pointer = address(pointer, what)?;
    // SAFETY: as the caller promises.
    Ok(unsafe { &*pointer })
}

/// A list of records, or of something else that there is one of for each argument of an action.
///
/// # Safety
/// If the address is neither null nor misaligned and the number is plausible, there are as many values
/// that stay and are not written to for `'a`.
pub(super) unsafe fn list<'a, T>(
    start: *const T,
    number: impl TryInto<usize> + fmt::Display + Copy,
    what: &str,
) -> Result<&'a [T], Misdelivered> {
    let length = number.try_into().ok().filter(|length| *length <= MOST_RECORDS);
    let Some(length) = length else {
        return Err(Misdelivered::new(format!("{number} {what}")));
    };
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: as the caller promises for the first of them.
    unsafe { reference(start, what)? };
    // SAFETY: as the caller promises; the length is far below what would overflow.
    Ok(unsafe { std::slice::from_raw_parts(start, length) })
}

/// Bytes that are as long as the library says.
///
/// # Safety
/// If the address is not null, there are as many bytes that stay and are not written to for `'a`.
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
    // SAFETY: as the caller promises.
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

/// Which of the records it is.
pub(super) fn position(
    records: &[dtrace_recdesc_t],
    r: *const dtrace_recdesc_t,
) -> Result<usize, Misdelivered> {
    let distance = r.addr().wrapping_sub(records.as_ptr().addr());
    let index = distance / size_of::<dtrace_recdesc_t>();
    if !distance.is_multiple_of(size_of::<dtrace_recdesc_t>()) || index >= records.len() {
        return Err(Misdelivered::new("a record that does not belong to its firing"));
    }
    Ok(index)
}

/// A C string's text; empty for a null pointer.
///
/// # Safety
/// `text` is null or points to a string that ends in NUL and is not changed during the call.
pub(super) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn record(offset: u32, size: u32) -> dtrace_recdesc_t {
        // SAFETY: the structure is made of integers and a pointer or number, for which zeros are values.
        let zero: dtrace_recdesc_t = unsafe { std::mem::zeroed() };
        dtrace_recdesc_t { dtrd_offset: offset, dtrd_size: size, ..zero }
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let value = 7u64;
        // SAFETY: the only pointer that passes is that of `value`.
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
