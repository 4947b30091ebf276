//! What is in a record, a printf argument or an aggregation's key?
//!
//! [`ValueRef`] borrows from the data as they were delivered; [`Value`] owns. [`FromValue`] turns
//! either into the types of a program.

#[cfg(test)]
mod properties;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::record::Action;
use crate::symbol::{StackRef, SymbolRef};

/// Whether a number's type in D is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// It is.
    Signed,
    /// It is not.
    Unsigned,
    /// libdtrace does not record it, as in an aggregation's keys: the reader decides.
    Unknown,
}

/// A number as the kernel left it, with its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer {
    bits: u64,
    width: u8,
    sign: Sign,
}

impl Integer {
    /// A number of `bytes.len()` bytes (1, 2, 4 or 8) in the machine's order; `None` of another length.
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

    /// Its size in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.width)
    }

    /// Whether it is signed.
    #[must_use]
    pub fn sign(self) -> Sign {
        self.sign
    }

    /// The number read as unsigned, whatever its sign.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.bits
    }

    /// The number read as signed within its width, whatever its sign.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        let unused = 64 - 8 * u32::from(self.width);
        (self.bits << unused).cast_signed() >> unused
    }

    /// The number as its sign says; unsigned where that is unknown.
    #[must_use]
    pub fn as_i128(self) -> i128 {
        match self.sign {
            Sign::Signed => i128::from(self.as_i64()),
            Sign::Unsigned | Sign::Unknown => i128::from(self.as_u64()),
        }
    }

    /// As `target` wants it, whose sign decides where the number's own is unknown.
    fn for_target(self, target_is_signed: bool) -> i128 {
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

/// A value in place.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// A number.
    Integer(Integer),
    /// A string, without its NUL. D strings are bytes; see [`FromValue`] for text.
    String(&'a [u8]),
    /// Memory, as from `tracemem()` or a structure.
    Bytes(&'a [u8]),
    /// The frames of `stack()` or `ustack()`.
    Stack(StackRef<'a>),
    /// What `sym()`, `mod()`, `usym()`, `umod()` and `uaddr()` name.
    Symbol(SymbolRef<'a>),
    /// The number of an aggregation, as in `printa(@name)`.
    Aggregation(u64),
    /// Nothing: a `printf` without arguments.
    Nothing,
    /// A record that this version of the crate does not decode.
    Opaque {
        /// What made the record.
        action: Action,
        /// The record as it is.
        bytes: &'a [u8],
    },
}

impl ValueRef<'_> {
    /// A value that lives on its own.
    #[must_use]
    pub fn to_owned(&self) -> Value {
        match *self {
            ValueRef::Integer(n) => Value::Integer(n),
            ValueRef::String(s) => Value::String(s.to_vec()),
            ValueRef::Bytes(b) => Value::Bytes(b.to_vec()),
            ValueRef::Stack(s) => Value::Stack(s.frames().map(|f| f.to_string()).collect()),
            ValueRef::Symbol(s) => Value::Symbol(s.to_string()),
            ValueRef::Aggregation(n) => Value::Aggregation(n),
            ValueRef::Nothing => Value::Nothing,
            ValueRef::Opaque { action, bytes } => Value::Opaque { action, bytes: bytes.to_vec() },
        }
    }

    /// What kind of value it is, in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            ValueRef::Integer(_) => "integer",
            ValueRef::String(_) => "string",
            ValueRef::Bytes(_) => "bytes",
            ValueRef::Stack(_) => "stack",
            ValueRef::Symbol(_) => "symbol",
            ValueRef::Aggregation(_) => "aggregation",
            ValueRef::Nothing => "nothing",
            ValueRef::Opaque { .. } => "undecoded record",
        }
    }
}

/// For people: numbers in decimal, strings as text, bytes in hexadecimal.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Integer(n) => n.fmt(f),
            ValueRef::String(s) => f.write_str(&String::from_utf8_lossy(s)),
            ValueRef::Bytes(bytes) | ValueRef::Opaque { bytes, .. } => {
                bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
            ValueRef::Stack(s) => s.fmt(f),
            ValueRef::Symbol(s) => s.fmt(f),
            ValueRef::Aggregation(n) => write!(f, "@{n}"),
            ValueRef::Nothing => Ok(()),
        }
    }
}

impl Serialize for ValueRef<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            ValueRef::Integer(n) => match n.sign() {
                Sign::Signed => serializer.serialize_i64(n.as_i64()),
                Sign::Unsigned | Sign::Unknown => serializer.serialize_u64(n.as_u64()),
            },
            ValueRef::Stack(s) => serializer.collect_seq(s.frames().map(|f| f.to_string())),
            ValueRef::Aggregation(n) => serializer.serialize_u64(n),
            ValueRef::Nothing => serializer.serialize_unit(),
            ValueRef::Bytes(bytes) | ValueRef::Opaque { bytes, .. } => {
                serializer.collect_seq(bytes)
            }
            ValueRef::String(_) | ValueRef::Symbol(_) => serializer.collect_str(self),
        }
    }
}

/// A value that lives on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Integer(Integer),
    /// A string, without its NUL.
    String(Vec<u8>),
    /// Memory.
    Bytes(Vec<u8>),
    /// The frames of a stack, innermost first, as `module`function+0x1f`.
    Stack(Vec<String>),
    /// A symbol, as `module`function`.
    Symbol(String),
    /// The number of an aggregation.
    Aggregation(u64),
    /// Nothing.
    Nothing,
    /// A record that this version of the crate does not decode.
    Opaque {
        /// What made the record.
        action: Action,
        /// The record as it is.
        bytes: Vec<u8>,
    },
}

/// A value is not of the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct TypeError {
    /// What was asked for.
    pub expected: &'static str,
    /// What there is.
    pub found: String,
}

impl TypeError {
    pub(crate) fn new(expected: &'static str, found: &ValueRef<'_>) -> TypeError {
        TypeError { expected, found: format!("{} {found}", found.kind()) }
    }
}

/// Types that a value of DTrace can become.
///
/// Implemented for the integers (checked: a number that does not fit is an error), `String`, `&str`
/// and `Cow<str>` (strings and symbols), `Vec<u8>` and `&[u8]` (strings and memory), [`Integer`] and
/// [`Value`]. The sign of an integer type decides how a number of unknown sign is read.
pub trait FromValue<'a>: Sized {
    /// # Errors
    /// [`TypeError`] if the value is of another kind or does not fit.
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError>;
}

macro_rules! integers {
    ($($type:ty => $signed:literal),*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
                let error = || TypeError::new(stringify!($type), &value);
                let ValueRef::Integer(n) = value else { return Err(error()) };
                Self::try_from(n.for_target($signed)).map_err(|_| error())
            }
        }
    )*};
}

integers!(i8 => true, i16 => true, i32 => true, i64 => true, isize => true, i128 => true,
    u8 => false, u16 => false, u32 => false, u64 => false, usize => false, u128 => false);

impl<'a> FromValue<'a> for Integer {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::Integer(n) => Ok(n),
            other => Err(TypeError::new("an integer", &other)),
        }
    }
}

impl<'a> FromValue<'a> for Cow<'a, str> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::String(s) => Ok(String::from_utf8_lossy(s)),
            ValueRef::Symbol(s) => Ok(Cow::Owned(s.to_string())),
            other => Err(TypeError::new("a string", &other)),
        }
    }
}

impl<'a> FromValue<'a> for String {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        Cow::from_value(value).map(Cow::into_owned)
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::String(s) => {
                std::str::from_utf8(s).map_err(|_| TypeError::new("UTF-8 text", &value))
            }
            other => Err(TypeError::new("a string", &other)),
        }
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::String(b) | ValueRef::Bytes(b) | ValueRef::Opaque { bytes: b, .. } => Ok(b),
            other => Err(TypeError::new("bytes", &other)),
        }
    }
}

impl<'a> FromValue<'a> for Vec<u8> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl<'a> FromValue<'a> for Value {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(bytes: &[u8], sign: Sign) -> ValueRef<'static> {
        ValueRef::Integer(Integer::from_bytes(bytes, sign).unwrap())
    }

    #[test]
    fn the_target_type_decides_a_sign_that_is_not_recorded() {
        let minus_one = integer(&(-1i32).to_ne_bytes(), Sign::Unknown);
        assert_eq!(i32::from_value(minus_one), Ok(-1));
        assert_eq!(i64::from_value(minus_one), Ok(-1));
        assert_eq!(u32::from_value(minus_one), Ok(u32::MAX));
        assert_eq!(u64::from_value(minus_one), Ok(u64::from(u32::MAX)));
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error_and_is_not_cut() {
        let big = integer(&(1u64 << 40).to_ne_bytes(), Sign::Unsigned);
        assert!(u32::from_value(big).unwrap_err().to_string().contains("1099511627776"));
        let negative = integer(&(-5i64).to_ne_bytes(), Sign::Signed);
        assert!(u64::from_value(negative).is_err());
        assert_eq!(i8::from_value(negative), Ok(-5));
    }

    #[test]
    fn one_and_two_byte_numbers_keep_their_sign() {
        assert_eq!(i32::from_value(integer(&[0xff], Sign::Signed)), Ok(-1));
        assert_eq!(i32::from_value(integer(&(-2i16).to_ne_bytes(), Sign::Signed)), Ok(-2));
        assert_eq!(u16::from_value(integer(&[0xff], Sign::Unsigned)), Ok(255));
    }

    #[test]
    fn a_string_is_no_number() {
        let error = i32::from_value(ValueRef::String(b"seven")).unwrap_err();
        assert_eq!(error.to_string(), "expected i32, found string seven");
    }
}
