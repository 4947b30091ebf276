//! Entries of aggregations, as handlers see them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, Serializer};

use super::aggregation::Aggregation;
use super::{json, line};
use crate::data::aggregation::{AggregationFunction, AggregationValue, DecodeError};
use crate::data::folded::Folded;
use crate::data::from_value::{FromValue, TypeError};
use crate::data::integer::{Integer, Sign};
use crate::data::symbol::Symbols;
use crate::data::value::ValueRef;
use crate::records::row_error::RowError;
use crate::records::rows;
use crate::stream::payload::EntryFrame;

/// The keys of an aggregation and their value.
#[derive(Debug, Clone)]
pub struct Aggregated<'a> {
    pub(super) aggregation: &'a Aggregation,
    pub(super) frame: EntryFrame<'a>,
    pub(super) symbols: &'a Symbols,
    pub(super) value: AggregationValue,
}

impl<'a> Aggregated<'a> {
    /// Returns the aggregation's name without its `@`; `_` for the anonymous one.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.aggregation.name
    }

    /// Returns libdtrace's number of the aggregation.
    #[must_use]
    pub fn variable(&self) -> u64 {
        self.aggregation.variable
    }

    /// Returns the aggregating function.
    #[must_use]
    pub fn function(&self) -> AggregationFunction {
        self.aggregation.function
    }

    /// Returns the divisor that the script set with `normalize()`; 1 if it set none.
    #[must_use]
    pub fn normal(&self) -> u64 {
        self.aggregation.normal
    }

    /// Returns the keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = ValueRef<'a>> + Clone + use<'a> {
        let (data, symbols) = (self.frame.keys, self.symbols);
        self.aggregation.keys.iter().map(move |field| field.value(data, symbols))
    }

    /// Converts the key at `index`, from 0, to the requested type.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such key, it is of another kind, or it does not fit.
    pub fn key<T: FromValue<'a>>(&self, index: usize) -> Result<T, TypeError> {
        let key = self.keys().nth(index);
        T::from_value(key.ok_or_else(|| no_key(self.name(), index, self.keys().len()))?)
    }

    /// Returns the keys as one line of the folded format, from which flame graphs are drawn. At least one key
    /// should be a stack. [`FoldedStacks`](crate::value::FoldedStacks) collects such lines with their counts.
    ///
    /// ```no_run
    /// let script = "profile-99 { @[execname, ustack(), stack()] = count(); } tick-10s { exit(0); }";
    /// dtrace_consumer::trace(script)
    ///     .walk(|entry| Ok(println!("{} {}", entry.folded().demangled(), entry.number()?)))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    #[must_use]
    pub fn folded(&self) -> Folded<'a> {
        Folded::of(self.keys())
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &AggregationValue {
        &self.value
    }

    /// Returns the value of `count()`, `sum()`, `min()`, `max()`, `avg()` or `stddev()` as the number that
    /// DTrace prints.
    ///
    /// # Errors
    /// [`TypeError`] for a distribution, and for a minimum, maximum or mean of nothing.
    pub fn number(&self) -> Result<i64, TypeError> {
        number(&self.value)
    }

    /// Returns the value on each CPU, with the CPU's number. Empty without the option `aggpercpu`, and in
    /// [`Mode::Delta`](crate::aggregation::Mode::Delta).
    pub fn per_cpu(&self) -> impl Iterator<Item = (u32, AggregationValue)> + use<'a> {
        let aggregation = self.aggregation;
        let values = self.frame.per_cpu.chunks_exact(self.frame.value.len().max(1));
        (0..)
            .zip(values)
            .filter_map(move |(cpu, value)| Some((cpu, aggregation.decode(value).ok()?)))
    }

    /// Deserializes the keys, followed by the value if it is a number, into a tuple or structure.
    ///
    /// # Errors
    /// [`RowError`], which names the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        row(self.name(), self.keys(), &self.value)
    }
}

impl<'a> Aggregated<'a> {
    /// Creates an entry with its value from the stream, whatever the mode.
    pub(crate) fn new(
        aggregation: &'a Aggregation,
        frame: EntryFrame<'a>,
        symbols: &'a Symbols,
    ) -> Result<Aggregated<'a>, DecodeError> {
        let value = aggregation.decode(frame.value)?;
        Ok(Aggregated { aggregation, frame, symbols, value })
    }
}

/// Returns the error for a key that an entry does not have.
pub(super) fn no_key(name: &str, index: usize, keys: usize) -> TypeError {
    TypeError::new("a key", format!("none at {index}: @{name} has {keys} keys"))
}

/// Returns the number that DTrace prints for a value.
pub(super) fn number(value: &AggregationValue) -> Result<i64, TypeError> {
    let found = || format!("{}() without one", value.function().name());
    value.as_i64().ok_or_else(|| TypeError::new("a number", found()))
}

/// Deserializes keys, followed by the value if it is a number.
pub(super) fn row<'v, T: DeserializeOwned>(
    name: &str,
    keys: impl Iterator<Item = ValueRef<'v>> + Clone,
    value: &AggregationValue,
) -> Result<T, RowError> {
    let number = value
        .as_i64()
        .and_then(|n| Integer::from_bytes(&n.to_ne_bytes(), Sign::Signed))
        .map(ValueRef::Integer);
    rows::from_values(keys.chain(number).map(|value| (None::<&str>, value)))
        .map_err(|e| e.of(format!("@{name}")))
}

/// Formats as `@name[key, key]: value`, on one line.
impl fmt::Display for Aggregated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line::entry(f, self.name(), self.keys(), &self.value)
    }
}

/// Serializes as the `name` and `function` of the aggregation, the `keys`, the `value` and the `buckets`, one of which is
/// null, and `per_cpu`. The members of `keys` are named by position, from 0. `per_cpu` has the `value` and `buckets` of
/// each `cpu`.
impl Serialize for Aggregated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::aggregated(serializer, self.name(), self.keys(), &self.value, self.per_cpu())
    }
}
