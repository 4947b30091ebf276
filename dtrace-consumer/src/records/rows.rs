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

/// A value of a row, which is decoded when it is wanted.
pub(crate) trait Part {
    /// Returns the name of the value, if it has one.
    fn name(&self) -> Option<&str>;

    fn value(&self) -> ValueRef<'_>;
}

impl Part for (Option<&str>, ValueRef<'_>) {
    fn name(&self) -> Option<&str> {
        self.0
    }

    fn value(&self) -> ValueRef<'_> {
        self.1
    }
}

/// Deserializes a row from values in order, with their names if they have any.
#[inline]
pub(crate) fn from_values<T: DeserializeOwned>(
    values: impl Iterator<Item = impl Part> + Clone,
) -> Result<T, RowError> {
    T::deserialize(Row { values: values.clone(), may_take_in_order: true })
        .or_else(|error| again(values, error))
}

/// Deserializes values with names once more, and not in order: a type that implements `Deserialize` itself may take them
/// only with their names, and an error is to quote the names.
#[cold]
fn again<T: DeserializeOwned>(
    values: impl Iterator<Item = impl Part> + Clone,
    error: RowError,
) -> Result<T, RowError> {
    match values.clone().any(|part| part.name().is_some()) {
        true => T::deserialize(Row { values, may_take_in_order: false }),
        false => Err(error),
    }
}

/// Deserializes a row as the sequence of its values, or as a map if all of them have names. A scalar target
/// requires exactly one value.
struct Row<I> {
    values: I,
    /// Whether values whose names are a structure's fields, in order, may be taken without their names. That is faster,
    /// because the structure then need not look for each name. It must take a sequence in the order of the names
    /// that it gives, as derived implementations do.
    may_take_in_order: bool,
}

impl<P: Part, I: Iterator<Item = P> + Clone> Row<I> {
    #[inline]
    fn fields<'de, V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        let mut fields = Fields { values: self.values, names, taken: 0 };
        let row = visitor.visit_seq(&mut fields)?;
        let left = fields.values.count();
        if left > 0 {
            let message = format!("{} values, expected {}", fields.taken + left, fields.taken);
            return Err(de::Error::custom(message));
        }
        Ok(row)
    }

    fn only(mut self) -> Result<P, RowError> {
        match (self.values.next(), self.values.count()) {
            (Some(part), 0) => Ok(part),
            (None, _) => Err(de::Error::custom("no value, expected one")),
            (Some(_), more) => Err(de::Error::custom(format!("{} values, expected one", more + 1))),
        }
    }

    /// Returns how many values have a name, and how many have none.
    #[inline]
    fn named_and_unnamed(&self) -> (usize, usize) {
        self.values.clone().fold((0, 0), |(named, unnamed), part| match part.name() {
            Some(_) => (named + 1, unnamed),
            None => (named, unnamed + 1),
        })
    }

    /// Returns whether the values have the names of a structure's fields, in order.
    #[inline]
    fn are_exactly(&self, names: &[&str]) -> bool {
        let mut parts = self.values.clone();
        let is_next = |name: &&str| parts.next().is_some_and(|part| part.name() == Some(*name));
        names.iter().all(is_next) && parts.next().is_none()
    }

    /// Returns whether some of the values, or all of them, have the names of a structure's fields.
    fn are_of(&self, names: &[&str]) -> bool {
        let (named, unnamed) = self.named_and_unnamed();
        if named == 0 {
            return false;
        }
        let has_value =
            |field: &&&str| self.values.clone().any(|part| part.name() == Some(**field));
        let found = names.iter().filter(has_value).count();
        found == names.len() || (unnamed == 0 && found > 0)
    }

    /// Passes on the values that have names, with these.
    #[inline]
    fn by_name<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        let named = Named { parts: self.values.clone(), part: None };
        visitor.visit_map(named).map_err(|e: RowError| {
            let names = self.values.filter_map(|part| part.name().map(str::to_owned));
            e.among(&names.collect::<Vec<_>>())
        })
    }
}

macro_rules! single_value {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            Field(self.only()?.value()).$method(visitor)
        }
    )*};
}

impl<'de, P: Part, I: Iterator<Item = P> + Clone> de::Deserializer<'de> for Row<I> {
    type Error = RowError;

    single_value!(deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier);

    /// Deserializes what describes itself, such as an untagged enumeration.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.named_and_unnamed() {
            (1.., 0) => self.by_name(visitor),
            _ => self.fields(&[], visitor),
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
        match self.values.clone().position(|part| part.name().is_none()) {
            None => self.by_name(visitor),
            Some(index) => Err(<RowError as de::Error>::custom(
                "no name, expected a map (name it in the format of `printf`, as in `pid=%d`)",
            )
            .at(index, None)),
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
        let in_order = self.may_take_in_order && self.are_exactly(names);
        if !in_order && self.are_of(names) {
            self.by_name(visitor)
        } else {
            self.fields(names, visitor)
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
        match self.values.count() {
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
        Field(self.only()?.value()).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { ignored_any }
}

struct Fields<I> {
    values: I,
    names: &'static [&'static str],
    taken: usize,
}

impl<'de, P: Part, I: Iterator<Item = P>> SeqAccess<'de> for &mut Fields<I> {
    type Error = RowError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, RowError> {
        let Some(part) = self.values.next() else { return Ok(None) };
        let index = self.taken;
        self.taken += 1;
        match seed.deserialize(Field(part.value())) {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(e.at(index, self.names.get(index).copied())),
        }
    }
}

/// The values that have names.
struct Named<P, I> {
    parts: I,
    /// The one whose name was taken last.
    part: Option<P>,
}

impl<'de, P: Part, I: Iterator<Item = P>> MapAccess<'de> for Named<P, I> {
    type Error = RowError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, RowError> {
        for part in self.parts.by_ref() {
            if let Some(name) = part.name() {
                let key = seed.deserialize(name.into_deserializer())?;
                self.part = Some(part);
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, RowError> {
        let part =
            self.part.take().ok_or_else(|| de::Error::custom("a value precedes its name"))?;
        seed.deserialize(Field(part.value()))
            .map_err(|e: RowError| e.named(part.name().unwrap_or_default()))
    }
}
