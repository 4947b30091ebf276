//! Conversion of a single value into a part of a row.

use serde::de::{self, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::row_error::RowError;
use crate::data::from_value::FromValue;
use crate::data::value::{ValueRef, text_in};

/// Deserializes a value.
pub(super) struct Field<'v>(pub(super) ValueRef<'v>);

macro_rules! integers {
    ($($method:ident => $visit:ident, $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            visitor.$visit(<$type>::from_value(self.0).map_err(de::Error::custom)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Field<'_> {
    type Error = RowError;

    integers! {
        deserialize_i8 => visit_i8, i8;
        deserialize_i16 => visit_i16, i16;
        deserialize_i32 => visit_i32, i32;
        deserialize_i64 => visit_i64, i64;
        deserialize_i128 => visit_i128, i128;
        deserialize_u8 => visit_u8, u8;
        deserialize_u16 => visit_u16, u16;
        deserialize_u32 => visit_u32, u32;
        deserialize_u64 => visit_u64, u64;
        deserialize_u128 => visit_u128, u128;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Integer(n) if n.reads_signed() => visitor.visit_i64(n.as_i64()),
            ValueRef::Integer(n) => visitor.visit_u64(n.as_u64()),
            ValueRef::String(s) => match std::str::from_utf8(s) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => visitor.visit_str(&String::from_utf8_lossy(s)),
            },
            ValueRef::Symbol(s) => visitor.visit_string(s.to_string()),
            // A list, as it is serialized: formats such as JSON have no bytes.
            ValueRef::Bytes(b) | ValueRef::Opaque { bytes: b, .. } => {
                visitor.visit_seq(de::value::SeqDeserializer::new(b.iter().copied()))
            }
            ValueRef::Aggregation(n) => visitor.visit_u64(n),
            ValueRef::Nothing => visitor.visit_unit(),
            ValueRef::Stack(s) => {
                let frames: Vec<String> = s.frames().map(|f| f.to_string()).collect();
                visitor.visit_seq(de::value::SeqDeserializer::new(frames.into_iter()))
            }
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Bytes(b) | ValueRef::String(b) | ValueRef::Opaque { bytes: b, .. } => {
                visitor.visit_bytes(b)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.deserialize_bytes(visitor)
    }

    /// Deserializes text; from memory up to its first NUL, if that is UTF-8.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Bytes(b) => visitor.visit_bytes(text_in(b)),
            ValueRef::Opaque { .. } => self.deserialize_bytes(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.deserialize_str(visitor)
    }

    /// Deserializes sequences from memory: tracemem as `Vec<u8>` or an array.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Bytes(b) | ValueRef::String(b) | ValueRef::Opaque { bytes: b, .. } => {
                visitor.visit_seq(de::value::SeqDeserializer::new(b.iter().copied()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        let n = i64::from_value(self.0).map_err(de::Error::custom)?;
        visitor.visit_bool(n != 0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    /// Deserializes enumerations of unit variants, from text (the variant's name) or a number (its
    /// index).
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        match self.0 {
            ValueRef::Integer(_) => {
                let n = u32::from_value(self.0).map_err(de::Error::custom)?;
                visitor.visit_enum(n.into_deserializer())
            }
            other => {
                let text = String::from_value(other).map_err(de::Error::custom)?;
                visitor.visit_enum(text.into_deserializer())
            }
        }
    }

    forward_to_deserialize_any! {
        f32 f64 char unit unit_struct tuple_struct map struct identifier ignored_any
    }
}
