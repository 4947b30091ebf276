//! Conversion of a firing's values, or an aggregation's keys and value, into the program's types.
//!
//! `serde::Deserialize` defines the types. A tuple takes the values in order, and so does a structure. If the
//! script's format names all fields of a structure, each field takes the value of that name instead.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::data::debug::debug_as_text;
use crate::data::from_value::FromValue;
use crate::data::integer::Sign;
use crate::data::value::ValueRef;

/// A row that does not fit the requested type.
#[derive(Clone, PartialEq, Eq)]
pub struct RowError {
    /// The position of the value, from 0, if it was taken by position, and the field's name, if it has one.
    field: Option<(Option<usize>, Option<&'static str>)>,
    message: String,
}

impl RowError {
    fn at(mut self, index: usize, name: Option<&'static str>) -> RowError {
        self.field.get_or_insert((Some(index), name));
        self
    }

    fn named(mut self, name: &'static str) -> RowError {
        self.field.get_or_insert((None, Some(name)));
        self
    }

    /// Returns the position, from 0, of the value that did not fit; `None` if it was taken by name.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.field.and_then(|(index, _)| index)
    }

    /// Returns the name of the field that the value was for, if the target is a structure.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        self.field.and_then(|(_, name)| name)
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some((Some(index), Some(name))) => write!(f, "field `{name}` (value {index}): ")?,
            Some((Some(index), None)) => write!(f, "value {index}: ")?,
            Some((None, Some(name))) => write!(f, "field `{name}`: ")?,
            Some((None, None)) | None => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RowError {}

debug_as_text! { struct RowError { field, message } }

impl de::Error for RowError {
    fn custom<T: fmt::Display>(message: T) -> RowError {
        RowError { field: None, message: message.to_string() }
    }
}

/// Deserializes a row from values in order, with their names if they have any.
pub(crate) fn from_values<'v, T: DeserializeOwned>(
    values: impl Iterator<Item = (Option<&'v str>, ValueRef<'v>)>,
) -> Result<T, RowError> {
    T::deserialize(Row(values))
}

struct Row<I>(I);

impl<'v, I: Iterator<Item = (Option<&'v str>, ValueRef<'v>)>> Row<I> {
    fn fields<'de, V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        let mut fields = Fields { values: self.0, names, taken: 0 };
        let row = visitor.visit_seq(&mut fields)?;
        let left = fields.values.count();
        if left > 0 {
            let message = format!("{} values, expected {}", fields.taken + left, fields.taken);
            return Err(de::Error::custom(message));
        }
        Ok(row)
    }

    fn only(mut self) -> Result<ValueRef<'v>, RowError> {
        match (self.0.next(), self.0.count()) {
            (Some((_, value)), 0) => Ok(value),
            (None, _) => Err(de::Error::custom("no value, expected one")),
            (Some(_), more) => Err(de::Error::custom(format!("{} values, expected one", more + 1))),
        }
    }
}

macro_rules! single_value {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            Field(self.only()?).$method(visitor)
        }
    )*};
}

/// Deserializes a row as the sequence of its values. A scalar target requires exactly one value.
impl<'de, 'v, I: Iterator<Item = (Option<&'v str>, ValueRef<'v>)>> de::Deserializer<'de>
    for Row<I>
{
    type Error = RowError;

    single_value!(deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.fields(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        let mut values = self.0.peekable();
        if values.peek().is_none_or(|(name, _)| name.is_none()) {
            return Row(values).fields(names, visitor);
        }
        let values: Vec<_> = values.collect();
        let of_name = |field: &str| values.iter().find(|(name, _)| *name == Some(field));
        let named: Option<Vec<(&'static str, ValueRef<'v>)>> =
            names.iter().map(|field| Some((*field, of_name(field)?.1))).collect();
        match named {
            Some(named) => visitor.visit_map(Named { fields: named.into_iter(), value: None }),
            None => Row(values.into_iter()).fields(names, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0.count() {
            0 => visitor.visit_unit(),
            n => Err(de::Error::custom(format!("{n} values, expected none"))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        Field(self.only()?).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { seq tuple tuple_struct unit_struct map ignored_any }
}

struct Fields<I> {
    values: I,
    names: &'static [&'static str],
    taken: usize,
}

impl<'de, 'v, I: Iterator<Item = (Option<&'v str>, ValueRef<'v>)>> SeqAccess<'de>
    for &mut Fields<I>
{
    type Error = RowError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, RowError> {
        let Some((_, value)) = self.values.next() else { return Ok(None) };
        let index = self.taken;
        self.taken += 1;
        seed.deserialize(Field(value))
            .map(Some)
            .map_err(|e| e.at(index, self.names.get(index).copied()))
    }
}

/// The fields of a structure, each with the value of its name.
struct Named<'v, I> {
    fields: I,
    value: Option<(&'static str, ValueRef<'v>)>,
}

impl<'de, 'v, I: Iterator<Item = (&'static str, ValueRef<'v>)>> MapAccess<'de> for Named<'v, I> {
    type Error = RowError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, RowError> {
        self.value = self.fields.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, RowError> {
        let (name, value) =
            self.value.take().ok_or_else(|| de::Error::custom("a value precedes its name"))?;
        seed.deserialize(Field(value)).map_err(|e| e.named(name))
    }
}

/// A value.
struct Field<'v>(ValueRef<'v>);

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
            ValueRef::Integer(n) if n.sign() == Sign::Signed => visitor.visit_i64(n.as_i64()),
            ValueRef::Integer(n) => visitor.visit_u64(n.as_u64()),
            ValueRef::String(s) => visitor.visit_str(&String::from_utf8_lossy(s)),
            ValueRef::Symbol(s) => visitor.visit_string(s.to_string()),
            ValueRef::Bytes(b) | ValueRef::Opaque { bytes: b, .. } => visitor.visit_bytes(b),
            ValueRef::Aggregation(n) => visitor.visit_u64(n),
            ValueRef::Nothing => visitor.visit_unit(),
            ValueRef::Stack(s) => {
                let frames: Vec<String> = s.frames().map(|f| f.to_string()).collect();
                visitor.visit_seq(de::value::SeqDeserializer::new(frames.into_iter()))
            }
        }
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

    /// Deserializes enumerations of unit variants, from a string (the variant's name) or a number (its
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
        f32 f64 char str string bytes byte_buf unit unit_struct tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::integer::Integer;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Segment {
        seq: u32,
        ack: u32,
        state: String,
    }

    fn number(n: i64) -> ValueRef<'static> {
        ValueRef::Integer(Integer::from_bytes(&n.to_ne_bytes(), Sign::Unknown).unwrap())
    }

    fn unnamed<'v>(
        values: &[ValueRef<'v>],
    ) -> impl Iterator<Item = (Option<&'v str>, ValueRef<'v>)> {
        values.iter().map(|value| (None, *value))
    }

    #[test]
    fn named_values_fill_the_fields_of_their_names() {
        let values = [
            (Some("state"), ValueRef::String(b"listen")),
            (Some("port"), number(80)),
            (Some("ack"), number(9)),
            (Some("seq"), number(7)),
        ];
        let segment: Segment = from_values(values.into_iter()).unwrap();
        assert_eq!(segment, Segment { seq: 7, ack: 9, state: "listen".into() });
        let mut wrong = values;
        wrong[2].1 = ValueRef::String(b"x");
        let error = from_values::<Segment>(wrong.into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "field `ack`: expected u32, found string x");
        // With one name missing, fields take values by position.
        let error = from_values::<Segment>(values[..3].iter().copied()).unwrap_err();
        assert_eq!(error.position(), Some(0));
    }

    #[test]
    fn values_fill_a_structure_in_order() {
        let values = [number(7), number(9), ValueRef::String(b"established")];
        let segment: Segment = from_values(unnamed(&values)).unwrap();
        assert_eq!(segment, Segment { seq: 7, ack: 9, state: "established".into() });
        let tuple: (u64, i8, String) = from_values(unnamed(&values)).unwrap();
        assert_eq!(tuple, (7, 9, "established".into()));
    }

    #[test]
    fn an_error_names_the_field_and_both_types() {
        let values = [number(7), ValueRef::String(b"x"), ValueRef::String(b"y")];
        let error = from_values::<Segment>(unnamed(&values)).unwrap_err();
        assert_eq!(error.to_string(), "field `ack` (value 1): expected u32, found string x");
    }

    #[test]
    fn too_few_and_too_many_values_are_errors() {
        let error = from_values::<Segment>(unnamed(&[number(7)])).unwrap_err();
        assert!(error.to_string().contains("3 elements"), "{error}");
        let error = from_values::<(u64, u64)>(unnamed(&[number(1); 3])).unwrap_err();
        assert_eq!(error.to_string(), "3 values, expected 2");
    }

    #[test]
    fn a_single_value_is_a_row_of_its_own() {
        assert_eq!(from_values::<i32>(unnamed(&[number(-1)])), Ok(-1));
        let state: String = from_values(unnamed(&[ValueRef::String(b"closed")])).unwrap();
        assert_eq!(state, "closed");
    }
}
