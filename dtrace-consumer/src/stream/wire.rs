//! Layout of numbers, strings and bytes in a frame.
//!
//! Little-endian, no padding. A `u32` length precedes byte strings. Reading never leaves the slice: a length
//! that exceeds it is a [`Malformed`], never an allocation or a panic.

use std::fmt;

use crate::data::debug::debug_as_text;

/// A field of a frame that is missing or invalid.
#[derive(Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Malformed {
    pub(crate) fn new(field: &'static str, reason: &'static str) -> Malformed {
        Malformed { field, reason }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Malformed {}

debug_as_text! { struct Malformed { field, reason } }

/// Appends fields to a buffer.
pub(crate) trait Put {
    fn put_u8(&mut self, v: u8);
    fn put_u16(&mut self, v: u16);
    fn put_u32(&mut self, v: u32);
    fn put_u64(&mut self, v: u64);
    fn put_bytes(&mut self, v: &[u8]);

    fn put_i32(&mut self, v: i32) {
        self.put_u32(v.cast_unsigned());
    }

    fn put_bool(&mut self, v: bool) {
        self.put_u8(u8::from(v));
    }

    fn put_str(&mut self, v: &str) {
        self.put_bytes(v.as_bytes());
    }

    /// Appends a length: seven bits a byte, the lowest first. The highest bit of a byte tells that more follow.
    fn put_length(&mut self, mut n: usize) {
        while n > 0x7f {
            self.put_u8((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.put_u8(n as u8);
    }

    fn put_option<T>(&mut self, v: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.put_bool(v.is_some());
        if let Some(v) = v {
            put(self, v);
        }
    }

    fn put_list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.put_u32(length(items.len()));
        for item in items {
            put(self, item);
        }
    }
}

/// Returns the length of a list or string.
pub(super) fn length(n: usize) -> u32 {
    // The frame limit rejects a list or string of 4 GiB long before; saturating makes this total.
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, v: u8) {
        self.push(v);
    }

    fn put_u16(&mut self, v: u16) {
        self.extend_from_slice(&v.to_le_bytes());
    }

    fn put_u32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_le_bytes());
    }

    fn put_u64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_le_bytes());
    }

    fn put_bytes(&mut self, v: &[u8]) {
        self.put_u32(length(v.len()));
        self.extend_from_slice(v);
    }
}

/// Types that frames contain.
pub(crate) trait Wire<'a>: Sized {
    /// Appends the fields.
    fn put(&self, b: &mut Vec<u8>);

    /// Takes the fields off the front of a payload.
    fn take(t: &mut Take<'a>) -> Result<Self, Malformed>;
}

/// Takes fields off the front of a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Take<'a> {
        Take { rest: payload }
    }

    /// Returns whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed::new(field, "missing from the frame"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(field).map(|[b]| b)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Takes several numbers of 32 bits.
    pub(crate) fn words<const N: usize>(
        &mut self,
        fields: &'static str,
    ) -> Result<[u32; N], Malformed> {
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(self.raw(4 * N, fields)?.chunks_exact(4)) {
            *word = bytes.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        }
        Ok(words)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(u64::from_le_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_le_bytes)
    }

    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::new(field, "neither 0 nor 1")),
        }
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let length = self.u32(field)? as usize;
        self.raw(length, field)
    }

    /// Takes the next `length` bytes.
    pub(crate) fn raw(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::new(field, "its length exceeds the frame"))?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes a length of seven bits a byte, the lowest first. At most 28 bits are accepted.
    pub(crate) fn length(&mut self, field: &'static str) -> Result<usize, Malformed> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8(field)?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(Malformed::new(field, "takes too many bytes"))
    }

    /// Takes text of the library. Invalid UTF-8, which is rare, is replaced.
    pub(crate) fn string(&mut self, field: &'static str) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.bytes(field)?).into_owned())
    }

    pub(crate) fn option<T>(
        &mut self,
        field: &'static str,
        take: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.bool(field)? { take(self).map(Some) } else { Ok(None) }
    }

    /// Takes a list. Memory grows only with items that are present.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        mut take: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let n = self.u32(field)? as usize;
        // Every item takes at least one byte, so the length of a longer list is wrong.
        if n > self.rest.len() {
            return Err(Malformed::new(field, "its length exceeds the frame"));
        }
        let mut items = Vec::new();
        for _ in 0..n {
            items.push(take(self)?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put() {
        let mut b = Vec::new();
        b.put_u16(7);
        b.put_i32(-1);
        b.put_str("snow");
        b.put_option(Some(3u32), |b, v| b.put_u32(v));
        b.put_option(None::<u32>, |b, v| b.put_u32(v));
        b.put_list([1u8, 2].iter(), |b, v| b.put_u8(*v));
        let mut t = Take::new(&b);
        assert_eq!(t.u16("a"), Ok(7));
        assert_eq!(t.i32("b"), Ok(-1));
        assert_eq!(t.string("c"), Ok("snow".to_owned()));
        assert_eq!(t.option("d", |t| t.u32("d")), Ok(Some(3)));
        assert_eq!(t.option("e", |t| t.u32("e")), Ok(None));
        assert_eq!(t.list("f", |t| t.u8("f")), Ok(vec![1, 2]));
    }

    #[test]
    fn a_length_beyond_the_frame_is_an_error_and_not_an_allocation() {
        let b = u32::MAX.to_le_bytes();
        assert!(Take::new(&b).bytes("text").is_err());
        assert!(Take::new(&b).list("items", |t| t.u8("item")).is_err());
    }
}
