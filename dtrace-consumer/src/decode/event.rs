//! What a session delivers, as values that own their data.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::aggregated::{self, Aggregated};
use super::firing::{Firing, Output};
use crate::data::aggregation::{AggregationFunction, AggregationValue};
use crate::data::folded::Folded;
use crate::data::from_value::{FromValue, TypeError};
use crate::data::loss::{DropReport, Fault};
use crate::data::probe::Probe;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::data::value::Value;
use crate::records::rows::{self, RowError};

/// A delivered item that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A clause has fired.
    Firing(FiringEvent),
    /// A record has printed text.
    Output(OutputEvent),
    /// An entry of a walk over the aggregations.
    Aggregated(AggregatedEvent),
    /// A walk over the aggregations is complete.
    Walked,
    /// Data were dropped.
    Drop(DropReport),
    /// A clause failed at run time.
    Fault(Fault),
    /// The script has changed an option.
    Option(OptionChange),
    /// A traced process has ended or can no longer be followed.
    Process(ProcessEvent),
}

/// A [`Firing`] that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FiringEvent {
    /// The probe that fired.
    pub probe: Arc<Probe>,
    /// The CPU on which it fired.
    pub cpu: u32,
    /// libdtrace's number of the statement.
    pub statement: u32,
    /// The values that its actions recorded; see [`Firing::values`].
    pub values: Vec<Value>,
    names: Names,
}

/// The names of a firing's values in the formats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Names(Arc<[Option<String>]>);

impl Names {
    pub(crate) fn of(firing: &Firing<'_>) -> Names {
        Names(firing.data_records().map(|record| record.name().map(str::to_owned)).collect())
    }
}

impl FiringEvent {
    pub(crate) fn new(firing: &Firing<'_>, probe: Arc<Probe>, names: Names) -> FiringEvent {
        FiringEvent {
            probe,
            cpu: firing.cpu(),
            statement: firing.statement(),
            values: firing.values().map(|value| value.to_owned()).collect(),
            names,
        }
    }

    /// Deserializes the values into a tuple or structure; see [`Firing::row`].
    ///
    /// # Errors
    /// [`RowError`], which names the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        let names = self.names.0.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        rows::from_values(names.zip(self.values.iter().map(Value::as_ref)))
    }

    /// Returns the values as one line of the folded format; see [`Firing::folded`].
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        Folded::of(self.values.iter().map(Value::as_ref))
    }
}

/// Serializes as [`Firing`] does.
impl Serialize for FiringEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut firing = serializer.serialize_struct("Firing", 4)?;
        firing.serialize_field("probe", &*self.probe)?;
        firing.serialize_field("cpu", &self.cpu)?;
        firing.serialize_field("statement", &self.statement)?;
        firing.serialize_field("values", &self.values)?;
        firing.end()
    }
}

/// An [`Output`] that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutputEvent {
    /// The probe that fired.
    pub probe: Arc<Probe>,
    /// The text as dtrace(1) would print it, in bytes, because D strings are bytes.
    pub bytes: Vec<u8>,
}

impl OutputEvent {
    pub(crate) fn new(output: &Output<'_>, probe: Arc<Probe>) -> OutputEvent {
        OutputEvent { probe, bytes: output.bytes().to_vec() }
    }

    /// Returns the text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Formats the text.
impl std::fmt::Display for OutputEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// An [`Aggregated`] entry that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AggregatedEvent {
    /// The aggregation's name.
    pub name: Arc<str>,
    /// The aggregating function.
    pub function: AggregationFunction,
    /// The keys.
    pub keys: Vec<Value>,
    /// The value.
    pub value: AggregationValue,
}

impl From<&Aggregated<'_>> for AggregatedEvent {
    fn from(entry: &Aggregated<'_>) -> AggregatedEvent {
        AggregatedEvent {
            name: entry.name().into(),
            function: entry.function(),
            keys: entry.keys().map(|key| key.to_owned()).collect(),
            value: entry.value().clone(),
        }
    }
}

impl AggregatedEvent {
    /// Converts the key at `index`, from 0, to the requested type.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such key, it is of another kind, or it does not fit.
    pub fn key<'a, T: FromValue<'a>>(&'a self, index: usize) -> Result<T, TypeError> {
        let keys = &self.keys;
        let key = keys.get(index).map(Value::as_ref);
        T::from_value(key.ok_or_else(|| aggregated::no_key(&self.name, index, keys.len()))?)
    }

    /// Returns the keys as one line of the folded format; see [`Aggregated::folded`].
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        Folded::of(self.keys.iter().map(Value::as_ref))
    }

    /// Returns the value as a number; see [`Aggregated::number`].
    ///
    /// # Errors
    /// [`TypeError`] for a distribution, and for a minimum, maximum or mean of nothing.
    pub fn number(&self) -> Result<i64, TypeError> {
        aggregated::number(&self.value)
    }

    /// Deserializes the keys, followed by the value if it is a number, into a tuple or structure.
    ///
    /// # Errors
    /// [`RowError`], which names the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        aggregated::row(self.keys.iter().map(Value::as_ref), &self.value)
    }
}

/// Serializes as [`Aggregated`] does.
impl Serialize for AggregatedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        aggregated::serialize(serializer, &self.name, &self.keys, &self.value)
    }
}
