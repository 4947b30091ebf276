//! Values in records, printf arguments and keys of aggregations.
//!
//! [`ValueRef`] borrows from the delivered data; [`Value`] owns.

use std::fmt;

use serde::{Serialize, Serializer};

use super::integer::Integer;
use super::record::Action;
use super::stack::{Stack, StackRef};
use super::symbol::{Symbol, SymbolRef};

/// A value, borrowed from the delivered data.
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// A number.
    Integer(Integer),
    /// A string, without its NUL. D strings are bytes; see [`FromValue`](crate::value::FromValue) for text.
    String(&'a [u8]),
    /// Memory, from `tracemem()` or a structure.
    Bytes(&'a [u8]),
    /// The frames of `stack()` or `ustack()`.
    Stack(StackRef<'a>),
    /// The symbol of `sym()`, `mod()`, `usym()`, `umod()` or `uaddr()`.
    Symbol(SymbolRef<'a>),
    /// The number of an aggregation, from `printa(@name)`.
    Aggregation(u64),
    /// Nothing: a `printf` without arguments.
    Nothing,
    /// A record that this version of the crate does not decode.
    Opaque {
        /// The action that made the record.
        action: Action,
        /// The bytes of the record.
        bytes: &'a [u8],
    },
}

/// Returns the text that memory starts with. It ends at the first NUL, as in C.
pub(crate) fn text_in(memory: &[u8]) -> &[u8] {
    memory.split(|byte| *byte == 0).next().unwrap_or(memory)
}

/// Selects one of several values, by position or by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKey<'k> {
    /// The position, from 0.
    Index(usize),
    /// The name that the format of `printf` gives it.
    Name(&'k str),
}

impl From<usize> for ValueKey<'_> {
    fn from(index: usize) -> Self {
        ValueKey::Index(index)
    }
}

impl<'k> From<&'k str> for ValueKey<'k> {
    fn from(name: &'k str) -> Self {
        ValueKey::Name(name)
    }
}

impl fmt::Display for ValueKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueKey::Index(index) => write!(f, "at {index}"),
            ValueKey::Name(name) => write!(f, "with the name `{name}`"),
        }
    }
}

impl ValueRef<'_> {
    /// Copies the value.
    #[must_use]
    pub fn to_owned(&self) -> Value {
        match *self {
            ValueRef::Integer(n) => Value::Integer(n),
            ValueRef::String(s) => Value::String(s.to_vec()),
            ValueRef::Bytes(b) => Value::Bytes(b.to_vec()),
            ValueRef::Stack(stack) => Value::Stack(stack.to_owned()),
            ValueRef::Symbol(symbol) => Value::Symbol(symbol.to_owned()),
            ValueRef::Aggregation(n) => Value::Aggregation(n),
            ValueRef::Nothing => Value::Nothing,
            ValueRef::Opaque { action, bytes } => Value::Opaque { action, bytes: bytes.to_vec() },
        }
    }

    /// Returns the kind of the value, in a word.
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

/// Formats for people: numbers in decimal, strings as text, bytes in hexadecimal.
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

/// Formats the variant and its value, strings as text: `String("bob")`.
impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Integer(n) => write!(f, "Integer({n})"),
            ValueRef::String(s) => write!(f, "String({:?})", String::from_utf8_lossy(s)),
            ValueRef::Bytes(b) => write!(f, "Bytes({b:02x?})"),
            ValueRef::Stack(s) => write!(f, "Stack({s:?})"),
            ValueRef::Symbol(s) => write!(f, "Symbol({s:?})"),
            ValueRef::Aggregation(n) => write!(f, "Aggregation({n})"),
            ValueRef::Nothing => f.write_str("Nothing"),
            ValueRef::Opaque { action, bytes } => {
                write!(f, "Opaque {{ action: {action:?}, bytes: {bytes:02x?} }}")
            }
        }
    }
}

/// Serializes numbers as numbers, strings and symbols as text, stacks as lists of text, bytes as lists of
/// numbers.
impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            ValueRef::Integer(n) => n.serialize(serializer),
            ValueRef::Stack(s) => s.serialize(serializer),
            ValueRef::Aggregation(n) => serializer.serialize_u64(n),
            ValueRef::Nothing => serializer.serialize_unit(),
            ValueRef::Bytes(bytes) | ValueRef::Opaque { bytes, .. } => {
                serializer.collect_seq(bytes)
            }
            ValueRef::String(_) | ValueRef::Symbol(_) => serializer.collect_str(self),
        }
    }
}

/// A value that owns its data.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Integer(Integer),
    /// A string, without its NUL.
    String(Vec<u8>),
    /// Memory.
    Bytes(Vec<u8>),
    /// The frames of a stack.
    Stack(Stack),
    /// A symbol.
    Symbol(Symbol),
    /// The number of an aggregation.
    Aggregation(u64),
    /// Nothing.
    Nothing,
    /// A record that this version of the crate does not decode.
    Opaque {
        /// The action that made the record.
        action: Action,
        /// The bytes of the record.
        bytes: Vec<u8>,
    },
}

impl Value {
    /// Borrows the value.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Integer(n) => ValueRef::Integer(*n),
            Value::String(s) => ValueRef::String(s),
            Value::Bytes(b) => ValueRef::Bytes(b),
            Value::Stack(stack) => ValueRef::Stack(stack.as_ref()),
            Value::Symbol(symbol) => ValueRef::Symbol(symbol.as_ref()),
            Value::Aggregation(n) => ValueRef::Aggregation(*n),
            Value::Nothing => ValueRef::Nothing,
            Value::Opaque { action, bytes } => ValueRef::Opaque { action: *action, bytes },
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Value {
        value.to_owned()
    }
}

/// Formats as [`ValueRef`] does.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Formats as [`ValueRef`] does.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

/// Serializes as [`ValueRef`] does.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_strings_as_text() {
        let value = Value::String(b"bob".to_vec());
        assert_eq!(format!("{value:?} {value}"), "String(\"bob\") bob");
    }
}
