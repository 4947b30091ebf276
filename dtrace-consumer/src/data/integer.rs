//! The numbers of D: their width and sign.

use std::fmt;

use serde::{Serialize, Serializer};

/// Whether a number's type in D is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Signed.
    Signed,
    /// Unsigned.
    Unsigned,
    /// libdtrace does not record the sign, as in the keys of an aggregation. A target type decides; without
    /// one, the number is read as dtrace(1) prints it: signed with 4 or 8 bytes, unsigned with fewer.
    Unknown,
}

/// A number in the kernel's representation, with its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer {
    bits: u64,
    width: u8,
    sign: Sign,
}

impl Integer {
    /// Decodes a number of 1, 2, 4 or 8 bytes in native byte order. Returns `None` for other lengths.
    #[must_use]
    #[inline]
    pub fn from_bytes(bytes: &[u8], sign: Sign) -> Option<Integer> {
        let bits = match *bytes {
            [b] => u64::from(b),
            [a, b] => u64::from(u16::from_ne_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
            _ => u64::from_ne_bytes(bytes.try_into().ok()?),
        };
        Some(Integer { bits, width: bytes.len() as u8, sign })
    }

    /// Returns its size in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.width)
    }

    /// Returns whether it is signed.
    #[must_use]
    pub fn sign(self) -> Sign {
        self.sign
    }

    /// Returns the number read as unsigned, whatever its sign.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.bits
    }

    /// Returns the number read as signed within its width, whatever its sign.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        let unused = 64 - 8 * u32::from(self.width);
        (self.bits << unused).cast_signed() >> unused
    }

    /// Returns the number according to its sign; as dtrace(1) prints it if that is [unknown](Sign::Unknown).
    #[must_use]
    pub fn as_i128(self) -> i128 {
        if self.reads_signed() { i128::from(self.as_i64()) } else { i128::from(self.as_u64()) }
    }

    /// Returns whether the number is read as signed where no target type decides.
    pub(crate) fn reads_signed(self) -> bool {
        match self.sign {
            Sign::Signed => true,
            Sign::Unsigned => false,
            // libdtrace reads a key of 1 or 2 bytes as unsigned, and prints all keys with `%d`.
            Sign::Unknown => self.width >= 4,
        }
    }

    /// Returns the number for a target type, whose sign applies if the number's own is unknown.
    #[inline]
    pub(crate) fn for_target(self, target_is_signed: bool) -> i128 {
        match (self.sign, target_is_signed) {
            (Sign::Unknown, true) => i128::from(self.as_i64()),
            (Sign::Unknown, false) => i128::from(self.as_u64()),
            _ => self.as_i128(),
        }
    }
}

/// Formats in decimal, as [`as_i128`](Integer::as_i128) reads it.
impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_i128(), f)
    }
}

/// Serializes as the displayed number.
impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.reads_signed() {
            serializer.serialize_i64(self.as_i64())
        } else {
            serializer.serialize_u64(self.as_u64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_unknown_sign_reads_as_dtrace_prints_it() {
        let shown = |bytes: &[u8]| {
            let number = Integer::from_bytes(bytes, Sign::Unknown).unwrap();
            let json = serde_json::to_string(&number).unwrap();
            assert_eq!(json, number.to_string());
            json
        };
        assert_eq!(shown(&(-2i64).to_ne_bytes()), "-2");
        assert_eq!(shown(&(-2i32).to_ne_bytes()), "-2");
        assert_eq!(shown(&(-2i16).to_ne_bytes()), "65534");
        assert_eq!(shown(&(-2i8).to_ne_bytes()), "254");
    }
}
