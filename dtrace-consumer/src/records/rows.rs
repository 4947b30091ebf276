//! Conversion of a firing's values, or an aggregation's keys and value, into the program's types.
//!
//! `serde::Deserialize` defines the types. A tuple takes the values in order. A structure takes them by name if
//! the script's format names them, otherwise in order. Values that all have names are a map.

#[cfg(test)]
mod tests;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::row_error::RowError;
use super::row_value::Field;
use crate::data::value::ValueRef;

/// A value, with its name if it has one.
type RowValue<'v> = (Option<&'v str>, ValueRef<'v>);

/// A value with its name.
type NamedValue<'v> = (&'v str, ValueRef<'v>);

/// Deserializes a row from values in order, with their names if they have any.
pub(crate) fn from_values<'v, T: DeserializeOwned>(
    values: impl Iterator<Item = RowValue<'v>>,
) -> Result<T, RowError> {
    T::deserialize(Row(values))
}

/// Deserializes a row as the sequence of its values, or as a map if all of them have names. A scalar target
/// requires exactly one value.
struct Row<I>(I);

impl<'v, I: Iterator<Item = RowValue<'v>>> Row<I> {
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

    /// Returns the values with a name, if there are some, and `wanted` accepts them and the number of those
    /// without one; otherwise all values.
    fn named(
        self,
        wanted: impl FnOnce(&[NamedValue<'v>], usize) -> bool,
    ) -> Result<Vec<NamedValue<'v>>, std::vec::IntoIter<RowValue<'v>>> {
        let all: Vec<RowValue<'v>> = self.0.collect();
        if all.iter().any(|(name, _)| name.is_some()) {
            let with_name = |(name, value): &RowValue<'v>| Some(((*name)?, *value));
            let named: Vec<NamedValue<'v>> = all.iter().filter_map(with_name).collect();
            if wanted(&named, all.len() - named.len()) {
                return Ok(named);
            }
        }
        Err(all.into_iter())
    }
}

fn visit_map<'de, V: Visitor<'de>>(
    values: &[NamedValue<'_>],
    visitor: V,
) -> Result<V::Value, RowError> {
    let names = values.iter().map(|(name, _)| *name);
    visitor.visit_map(Named { values: values.iter(), value: None }).map_err(|e| e.among(names))
}

macro_rules! single_value {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            Field(self.only()?).$method(visitor)
        }
    )*};
}

impl<'de, 'v, I: Iterator<Item = RowValue<'v>>> de::Deserializer<'de> for Row<I> {
    type Error = RowError;

    single_value!(deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier);

    /// Deserializes what describes itself, such as an untagged enumeration.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.named(|_, unnamed| unnamed == 0) {
            Ok(values) => visit_map(&values, visitor),
            Err(values) => Row(values).fields(&[], visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.fields(&[], visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.fields(&[], visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.fields(&[], visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.named(|_, unnamed| unnamed == 0) {
            Ok(values) => visit_map(&values, visitor),
            Err(mut values) => match values.position(|(name, _)| name.is_none()) {
                None => visit_map(&[], visitor),
                Some(index) => Err(<RowError as de::Error>::custom(
                    "no name, expected a map (name it in the format of `printf`, as in `pid=%d`)",
                )
                .at(index, None)),
            },
        }
    }

    /// Deserializes by name if the values have names and those are of this structure: every field has a value
    /// of its name, or every value has a name and one of them is a field's.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        let by_name = |values: &[NamedValue<'_>], unnamed: usize| {
            let has_value = |field: &&&str| values.iter().any(|(name, _)| name == *field);
            let found = names.iter().filter(has_value).count();
            found == names.len() || (unnamed == 0 && found > 0)
        };
        match self.named(by_name) {
            Ok(values) => visit_map(&values, visitor),
            Err(values) => Row(values).fields(names, visitor),
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

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        Field(self.only()?).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { ignored_any }
}

struct Fields<I> {
    values: I,
    names: &'static [&'static str],
    taken: usize,
}

impl<'de, 'v, I: Iterator<Item = RowValue<'v>>> SeqAccess<'de> for &mut Fields<I> {
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

/// The values with their names.
struct Named<'n, 'v, I> {
    values: I,
    value: Option<&'n NamedValue<'v>>,
}

impl<'de, 'n, 'v, I: Iterator<Item = &'n NamedValue<'v>>> MapAccess<'de> for Named<'n, 'v, I> {
    type Error = RowError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, RowError> {
        self.value = self.values.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize((*name).into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, RowError> {
        let (name, value) =
            self.value.take().ok_or_else(|| de::Error::custom("a value precedes its name"))?;
        seed.deserialize(Field(*value)).map_err(|e: RowError| e.named(name))
    }
}
