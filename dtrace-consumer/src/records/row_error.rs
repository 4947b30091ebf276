//! Why does a row not fit the requested type?

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::data::debug::debug_as_text;
use crate::data::from_value::{as_register, register_remedy};

/// A row that does not fit the requested type.
///
/// The text names the probe or aggregation, the field or position, the expected type and the value. For a
/// number that looks like a negative `int` in a 64-bit register it has the remedy: `(int)arg0` in the script.
#[derive(Clone, PartialEq, Eq)]
// In a box, because the results of all values have room for it.
pub struct RowError(Box<Reason>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason {
    /// The probe that fired, or the aggregation with its `@`.
    origin: Option<String>,
    /// The position of the value, from 0, if it was taken by position.
    position: Option<usize>,
    /// The name of the field or value.
    field: Option<Cow<'static, str>>,
    message: String,
}

debug_as_text! { struct RowError (reason) }

impl RowError {
    /// Adds where the row is from.
    pub(crate) fn of(mut self, origin: String) -> RowError {
        self.0.origin = Some(origin);
        self
    }

    /// Adds the position of the value, and the field's name if it has one. The innermost value counts.
    pub(super) fn at(mut self, index: usize, name: Option<&'static str>) -> RowError {
        if !self.is_placed() {
            self.0.position = Some(index);
            self.0.field = name.map(Cow::Borrowed);
        }
        self
    }

    /// Adds the name of the value. The innermost value counts.
    pub(super) fn named(mut self, name: &str) -> RowError {
        if !self.is_placed() {
            self.0.field = Some(Cow::Owned(name.to_owned()));
        }
        self
    }

    /// Adds the names that there are, to an error that is about no single value.
    pub(super) fn among(mut self, names: &[String]) -> RowError {
        if !self.is_placed() {
            self.0.message = format!("{} (the format names {})", self.0.message, names.join(", "));
        }
        self
    }

    fn is_placed(&self) -> bool {
        self.0.position.is_some() || self.0.field.is_some()
    }

    /// Returns where the row is from: the probe that fired, or the aggregation with its `@`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// Returns the position, from 0, of the value that did not fit; `None` if it was taken by name.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// Returns the name of the field that the value was for, if the target is a structure, or of the value.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.0.origin {
            write!(f, "the row of {origin} does not fit its type: ")?;
        }
        match (self.0.position, &self.0.field) {
            (Some(index), Some(name)) => write!(f, "field `{name}` (value {index}): ")?,
            (Some(index), None) => write!(f, "value {index}: ")?,
            (None, Some(name)) => write!(f, "field `{name}`: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for RowError {}

impl de::Error for RowError {
    fn custom<T: fmt::Display>(message: T) -> RowError {
        let message = message.to_string();
        RowError(Box::new(Reason { origin: None, position: None, field: None, message }))
    }

    /// Adds the remedy to a number that serde has buffered, as it does for a flattened structure.
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> RowError {
        let bits = match found {
            Unexpected::Signed(n) => Some(n.cast_unsigned()),
            Unexpected::Unsigned(n) => Some(n),
            _ => None,
        };
        // Only of a signed type can one say that an `int` is wanted.
        let wanted = expected.to_string().starts_with('i');
        let register = bits.filter(|_| wanted).and_then(as_register);
        let remedy =
            register.map_or_else(String::new, |int| format!(" ({})", register_remedy(int)));
        de::Error::custom(format_args!("expected {expected}, found {found}{remedy}"))
    }
}
