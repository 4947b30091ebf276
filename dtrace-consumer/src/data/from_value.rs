//! Conversion of values into Rust types.

#[cfg(test)]
mod properties;

use std::borrow::Cow;

use super::debug::debug_as_text;
use super::integer::Integer;
use super::value::{Value, ValueRef, text_in};

/// A value does not have the requested type.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}{}", .remedy.as_deref().map(|r| format!(" ({r})")).unwrap_or_default())]
#[non_exhaustive]
pub struct TypeError {
    /// The requested type.
    pub expected: &'static str,
    /// The kind of the value, and the value.
    pub found: String,
    /// What to change in the script, if the number looks like a negative `int` in a 64-bit register: `arg0` to
    /// `arg9` are 64 bits wide, so an `int` of -1 arrives as 4294967295.
    pub remedy: Option<String>,
}

debug_as_text! { struct TypeError { expected, found, remedy } }

impl TypeError {
    pub(crate) fn new(expected: &'static str, found: impl Into<String>) -> TypeError {
        TypeError { expected, found: found.into(), remedy: None }
    }

    fn of(expected: &'static str, found: &ValueRef<'_>) -> TypeError {
        TypeError::new(expected, format!("{} {found}", found.kind()))
    }
}

/// Returns the negative `int` that a 64-bit number may be meant to be.
pub(crate) fn as_register(bits: u64) -> Option<i32> {
    let int = (bits as u32).cast_signed();
    let extensions = [u64::from(int.cast_unsigned()), i64::from(int).cast_unsigned()];
    (int < 0 && extensions.contains(&bits)).then_some(int)
}

/// Returns what to do about an `int` in a register.
pub(crate) fn register_remedy(int: i32) -> String {
    format!("if that is {int} in a 64-bit register, cast it in the script, as in `(int)arg0`")
}

/// Types that a DTrace value converts to.
///
/// Implemented for the integers (checked: a number that does not fit is an error), `String`, `&str` and
/// `Cow<str>` (from strings, from symbols, and from memory that is UTF-8 up to its first NUL), `Vec<u8>` and
/// `&[u8]` (from strings and memory), [`Integer`] and [`Value`]. A number of unknown sign is read with the
/// sign of the integer type.
pub trait FromValue<'a>: Sized {
    /// Converts a value.
    ///
    /// # Errors
    /// [`TypeError`] if the value is of another kind or does not fit.
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError>;
}

impl<'a> ValueRef<'a> {
    /// Converts the value to the requested type.
    ///
    /// # Errors
    /// [`TypeError`] if the value is of another kind or does not fit.
    pub fn get<T: FromValue<'a>>(&self) -> Result<T, TypeError> {
        T::from_value(*self)
    }
}

impl Value {
    /// Converts the value to the requested type.
    ///
    /// ```
    /// # use dtrace_consumer::Value;
    /// assert_eq!(Value::String(b"bob".to_vec()).get::<String>()?, "bob");
    /// # Ok::<(), dtrace_consumer::value::TypeError>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeError`] if the value is of another kind or does not fit.
    pub fn get<'a, T: FromValue<'a>>(&'a self) -> Result<T, TypeError> {
        T::from_value(self.as_ref())
    }
}

macro_rules! integers {
    ($($type:ty => $signed:literal),*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
                let error = || TypeError::of(stringify!($type), &value);
                let ValueRef::Integer(n) = value else { return Err(error()) };
                Self::try_from(n.for_target($signed)).map_err(|_| {
                    let register = (n.width() == 8).then(|| as_register(n.as_u64())).flatten();
                    // Only a type that holds the `int` shows that one is wanted.
                    let int = register.filter(|int| Self::try_from(*int).is_ok());
                    let remedy = int.map(register_remedy);
                    TypeError { remedy, ..error() }
                })
            }
        }

        /// As of [`FromValue`].
        impl TryFrom<Integer> for $type {
            type Error = TypeError;

            fn try_from(number: Integer) -> Result<Self, TypeError> {
                Self::from_value(ValueRef::Integer(number))
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
            other => Err(TypeError::of("an integer", &other)),
        }
    }
}

impl<'a> FromValue<'a> for Cow<'a, str> {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::String(s) => Ok(String::from_utf8_lossy(s)),
            ValueRef::Symbol(s) => Ok(Cow::Owned(s.to_string())),
            ValueRef::Bytes(_) => <&str>::from_value(value).map(Cow::Borrowed),
            other => Err(TypeError::of("a string", &other)),
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
                std::str::from_utf8(s).map_err(|_| TypeError::of("UTF-8 text", &value))
            }
            ValueRef::Bytes(b) => {
                std::str::from_utf8(text_in(b)).map_err(|_| TypeError::of("UTF-8 text", &value))
            }
            other => Err(TypeError::of("a string", &other)),
        }
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: ValueRef<'a>) -> Result<Self, TypeError> {
        match value {
            ValueRef::String(b) | ValueRef::Bytes(b) | ValueRef::Opaque { bytes: b, .. } => Ok(b),
            other => Err(TypeError::of("bytes", &other)),
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
    use crate::data::integer::Sign;

    fn integer(bytes: &[u8], sign: Sign) -> ValueRef<'static> {
        ValueRef::Integer(Integer::from_bytes(bytes, sign).unwrap())
    }

    #[test]
    fn an_integer_converts_to_the_types_that_hold_it() {
        let number = Integer::from_bytes(&(-1i32).to_ne_bytes(), Sign::Signed).unwrap();
        assert_eq!(i8::try_from(number), Ok(-1));
        assert!(u64::try_from(number).is_err());
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
    fn memory_is_text_up_to_its_first_nul() {
        assert_eq!(String::from_value(ValueRef::Bytes(b"cat\0ld\0\0")), Ok("cat".to_owned()));
        assert_eq!(<&str>::from_value(ValueRef::Bytes(b"cat")), Ok("cat"));
        assert_eq!(<&str>::from_value(ValueRef::Bytes(b"")), Ok(""));
        let error = String::from_value(ValueRef::Bytes(b"\xff\0")).unwrap_err();
        assert_eq!(error.to_string(), "expected UTF-8 text, found bytes ff00");
    }

    #[test]
    fn a_string_is_no_number() {
        let error = i32::from_value(ValueRef::String(b"seven")).unwrap_err();
        assert_eq!(error.to_string(), "expected i32, found string seven");
    }
}
