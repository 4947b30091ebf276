//! What does a closure see of an aggregation?
//!
//! For each tuple of keys an [`Aggregated`] entry with its value. How the values of one walk relate to
//! those of the walk before is the session's [`Mode`].

mod distribution;
mod value;

use std::collections::HashMap;

use serde::de::DeserializeOwned;

pub use distribution::{
    Bucket, BucketRange, CombineError, Distribution, DistributionParameters, Linear, LogLinear,
    ParameterEncoding,
};
pub use value::{
    AggregationFunction, AggregationValue, Average, DecodeError, Deviation, Extreme, Scalar,
};

use crate::dispatch::PLACE;
use crate::layout::{self, Field};
use crate::row::{self, RowError};
use crate::stream::frame::{AggregationFrame, EntryFrame};
use crate::stream::wire::Malformed;
use crate::symbol::Symbols;
use crate::value::{FromValue, Integer, Sign, TypeError, ValueRef};

/// What the values of a walk stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everything since tracing began, or since the script cleared the aggregation.
    #[default]
    Cumulative,
    /// What has been added since the walk before; entries to which nothing was added are left out.
    /// Nothing is lost between two walks, because the kernel's data are not touched. `min` and `max`
    /// cannot be told apart in this way: they are delivered, as they stand, when they have changed.
    Delta,
    /// What has been added since the walk before, with everything taken out of the kernel's buffers.
    /// What is added between the reading of an entry and its removal is lost; it is for scripts with so
    /// many keys that [`Delta`](Mode::Delta) would fill the aggregation buffer.
    Drain,
}

/// In which order the entries of a walk come (`dtrace_aggregate_walk_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// As the library has them.
    Unsorted,
    /// Each aggregation's by its keys.
    Key,
    /// Each aggregation's by its keys, downwards.
    KeyReversed,
    /// Those of all aggregations together by their keys.
    KeyAcross,
    /// Those of all aggregations together by their keys, downwards.
    KeyAcrossReversed,
    /// Each aggregation's by its values, as dtrace(1) prints them.
    #[default]
    Value,
    /// Each aggregation's by its values, downwards.
    ValueReversed,
    /// Those of all aggregations together by their values.
    ValueAcross,
    /// Those of all aggregations together by their values, downwards.
    ValueAcrossReversed,
}

impl Order {
    pub(crate) fn from_number(n: u8) -> Option<Order> {
        use Order::*;
        let all = [
            Unsorted,
            Key,
            KeyReversed,
            KeyAcross,
            KeyAcrossReversed,
            Value,
            ValueReversed,
            ValueAcross,
            ValueAcrossReversed,
        ];
        all.get(usize::from(n)).copied()
    }
}

/// An aggregation variable, as the stream describes it.
#[derive(Debug)]
pub(crate) struct Aggregation {
    variable: u64,
    name: String,
    function: AggregationFunction,
    signature: u64,
    normal: u64,
    keys: Vec<Field>,
    encoding: ParameterEncoding,
}

impl Aggregation {
    pub(crate) fn new(
        frame: AggregationFrame,
        encoding: ParameterEncoding,
    ) -> Result<Aggregation, Malformed> {
        let function = u8::try_from(frame.function)
            .ok()
            .and_then(|n| AggregationFunction::from_wire(n).ok())
            .ok_or(Malformed::new("function", "not one that this crate knows"))?;
        Ok(Aggregation {
            variable: frame.variable,
            name: frame.name,
            function,
            signature: frame.signature,
            normal: frame.normal,
            keys: layout::of_keys(frame.keys),
            encoding,
        })
    }

    pub(crate) fn variable(&self) -> u64 {
        self.variable
    }

    fn decode(&self, value: &[u8]) -> Result<AggregationValue, DecodeError> {
        let Aggregation { encoding, function, signature, normal, .. } = *self;
        AggregationValue::decode_in(encoding, function, signature, value, normal)
    }
}

/// The keys of an aggregation with their value.
#[derive(Debug, Clone)]
pub struct Aggregated<'a> {
    aggregation: &'a Aggregation,
    frame: EntryFrame<'a>,
    symbols: &'a Symbols,
    value: AggregationValue,
}

impl<'a> Aggregated<'a> {
    /// The aggregation's name without its `@`; `_` for the anonymous one.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.aggregation.name
    }

    /// libdtrace's number of the aggregation.
    #[must_use]
    pub fn variable(&self) -> u64 {
        self.aggregation.variable
    }

    /// The aggregating function.
    #[must_use]
    pub fn function(&self) -> AggregationFunction {
        self.aggregation.function
    }

    /// The divisor that the script set with `normalize()`; 1 if it set none.
    #[must_use]
    pub fn normal(&self) -> u64 {
        self.aggregation.normal
    }

    /// The keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = ValueRef<'a>> + use<'a> {
        let (data, symbols) = (self.frame.keys, self.symbols);
        self.aggregation.keys.iter().map(move |field| field.value(data, symbols))
    }

    /// Key number `index`, from 0, as a type of the program.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such key, or it is of another kind or does not fit.
    pub fn key<T: FromValue<'a>>(&self, index: usize) -> Result<T, TypeError> {
        let key = self.keys().nth(index).ok_or_else(|| TypeError {
            expected: "a key",
            found: format!("none at {index}: @{} has {} keys", self.name(), self.keys().len()),
        })?;
        T::from_value(key)
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &AggregationValue {
        &self.value
    }

    /// The value of `count()`, `sum()`, `min()`, `max()`, `avg()` or `stddev()` as the number that
    /// DTrace prints.
    ///
    /// # Errors
    /// [`TypeError`] for a distribution, and for a minimum, maximum or mean of nothing.
    pub fn number(&self) -> Result<i64, TypeError> {
        self.value.as_i64().ok_or_else(|| TypeError {
            expected: "a number",
            found: format!("{}() without one", self.function().name()),
        })
    }

    /// The value on each CPU, with the CPU's number; none without the option `aggpercpu`, nor in
    /// [`Mode::Delta`].
    pub fn per_cpu(&self) -> impl Iterator<Item = (u32, AggregationValue)> + use<'a> {
        let aggregation = self.aggregation;
        let values = self.frame.per_cpu.chunks_exact(self.frame.value.len().max(1));
        (0..)
            .zip(values)
            .filter_map(move |(cpu, value)| Some((cpu, aggregation.decode(value).ok()?)))
    }

    /// The keys, and after them the value where it is a number, as a tuple or structure.
    ///
    /// # Errors
    /// [`RowError`], which names the field, what was expected and what there is.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        let number = self
            .value
            .as_i64()
            .and_then(|n| Integer::from_bytes(&n.to_ne_bytes(), Sign::Signed))
            .map(ValueRef::Integer);
        row::from_values(self.keys().chain(number).map(|value| (None, value)))
    }
}

impl<'a> Aggregated<'a> {
    /// The entry as it is, whatever the mode.
    pub(crate) fn new(
        aggregation: &'a Aggregation,
        frame: EntryFrame<'a>,
        symbols: &'a Symbols,
    ) -> Result<Aggregated<'a>, DecodeError> {
        let value = aggregation.decode(frame.value)?;
        Ok(Aggregated { aggregation, frame, symbols, value })
    }
}

/// The entries of several aggregations that have the same keys.
#[derive(Debug)]
pub struct Joined<'a> {
    first: &'a Aggregated<'a>,
    values: &'a [Option<AggregationValue>],
}

impl<'a> Joined<'a> {
    /// The keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = ValueRef<'a>> + use<'a> {
        self.first.keys()
    }

    /// Key number `index`, from 0, as a type of the program.
    ///
    /// # Errors
    /// As of [`Aggregated::key`].
    pub fn key<T: FromValue<'a>>(&self, index: usize) -> Result<T, TypeError> {
        self.first.key(index)
    }

    /// The values, in the order in which the aggregations were named; `None` for one that has no
    /// entry with these keys.
    #[must_use]
    pub fn values(&self) -> &'a [Option<AggregationValue>] {
        self.values
    }
}

/// Gathers the entries of a walk that are to be joined.
#[derive(Debug, Default)]
pub(crate) struct Join {
    names: Vec<String>,
    /// By keys, in the order in which they came first: whose entry that was, and the values so far.
    rows: Vec<Row>,
    positions: HashMap<Vec<u8>, usize>,
    /// What they take, in bytes, about.
    kept: usize,
}

#[derive(Debug)]
struct Row {
    aggregation: u32,
    keys: Vec<u8>,
    value: Vec<u8>,
    values: Vec<Option<AggregationValue>>,
}

impl Join {
    pub(crate) fn new(names: Vec<String>) -> Join {
        Join { names, ..Join::default() }
    }

    pub(crate) fn add(&mut self, entry: &Aggregated<'_>) {
        let Some(column) = self.names.iter().position(|name| name == entry.name()) else { return };
        // The first four bytes are the variable's number, which differs.
        let keys = entry.frame.keys;
        let same = keys.get(4..).unwrap_or_default().to_vec();
        let position = *self.positions.entry(same).or_insert_with(|| {
            let values = self.names.len() * size_of::<Option<AggregationValue>>();
            self.kept += PLACE + 2 * keys.len() + entry.frame.value.len() + values;
            self.rows.push(Row {
                aggregation: entry.frame.aggregation,
                keys: keys.to_vec(),
                value: entry.frame.value.to_vec(),
                values: vec![None; self.names.len()],
            });
            self.rows.len() - 1
        });
        // A distribution's counts.
        self.kept += entry.frame.value.len();
        self.rows[position].values[column] = Some(entry.value.clone());
    }

    /// What is gathered, in bytes, about.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Hands out what has been gathered, and begins anew.
    pub(crate) fn finish<E>(
        &mut self,
        aggregations: &HashMap<u32, Aggregation>,
        symbols: &Symbols,
        mut visit: impl FnMut(&Joined<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.positions.clear();
        self.kept = 0;
        for row in std::mem::take(&mut self.rows) {
            let frame = EntryFrame {
                aggregation: row.aggregation,
                generation: 0,
                keys: &row.keys,
                value: &row.value,
                per_cpu: &[],
            };
            let aggregation = aggregations.get(&row.aggregation);
            let first = aggregation.and_then(|a| Aggregated::new(a, frame, symbols).ok());
            if let Some(first) = first {
                visit(&Joined { first: &first, values: &row.values })?;
            }
        }
        Ok(())
    }
}

/// Works out what each walk delivers.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    mode: Mode,
    /// The last value of each entry, by variable and keys; kept for deltas only.
    before: HashMap<(u64, Vec<u8>), Before>,
    /// What they take, in bytes, about.
    kept: usize,
}

#[derive(Debug)]
struct Before {
    generation: u64,
    value: AggregationValue,
}

impl Walks {
    pub(crate) fn new(mode: Mode) -> Walks {
        Walks { mode, before: HashMap::new(), kept: 0 }
    }

    /// What is kept from walk to walk, in bytes, about.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// The entry as the mode wants it; `None` where it has nothing new.
    pub(crate) fn entry<'a>(
        &mut self,
        aggregation: &'a Aggregation,
        frame: EntryFrame<'a>,
        symbols: &'a Symbols,
    ) -> Result<Option<Aggregated<'a>>, DecodeError> {
        let value = aggregation.decode(frame.value)?;
        let value = match self.mode {
            Mode::Cumulative | Mode::Drain => Some(value),
            Mode::Delta => self.added(aggregation.variable, frame, value),
        };
        Ok(value.map(|value| Aggregated { aggregation, frame, symbols, value }))
    }

    fn added(
        &mut self,
        variable: u64,
        frame: EntryFrame<'_>,
        value: AggregationValue,
    ) -> Option<AggregationValue> {
        let now = Before { generation: frame.generation, value: value.clone() };
        let before = self.before.insert((variable, frame.keys.to_vec()), now);
        if before.is_none() {
            self.kept += PLACE + frame.keys.len() + frame.value.len();
        }
        // After the script's own clear() everything there is has been added since.
        let Some(before) = before.filter(|b| b.generation == frame.generation) else {
            return Some(value);
        };
        if before.value == value {
            return None;
        }
        let mut difference = value.clone();
        match difference.subtract(&before.value) {
            Ok(()) => Some(difference),
            Err(_) => Some(value),
        }
    }
}
