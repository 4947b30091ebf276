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
    /// libdtrace does not record the sign, as in the keys of an aggregation. The reader decides.
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

    /// Returns the number according to its sign; as unsigned if that is unknown.
    #[must_use]
    pub fn as_i128(self) -> i128 {
        match self.sign {
            Sign::Signed => i128::from(self.as_i64()),
            Sign::Unsigned | Sign::Unknown => i128::from(self.as_u64()),
        }
    }

    /// Returns the number for a target type, whose sign applies if the number's own is unknown.
    pub(crate) fn for_target(self, target_is_signed: bool) -> i128 {
        match (self.sign, target_is_signed) {
            (Sign::Unknown, true) => i128::from(self.as_i64()),
            _ => self.as_i128(),
        }
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_i128(), f)
    }
}

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.sign {
            Sign::Signed => serializer.serialize_i64(self.as_i64()),
            Sign::Unsigned | Sign::Unknown => serializer.serialize_u64(self.as_u64()),
        }
    }
}
