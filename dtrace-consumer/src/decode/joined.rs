//! Joins the entries of several aggregations.

use std::collections::HashMap;

use super::aggregated::Aggregated;
use super::aggregation::Aggregation;
use super::entry::OwnedEntry;
use crate::data::aggregation::AggregationValue;
use crate::data::from_value::{FromValue, TypeError};
use crate::data::symbol::Symbols;
use crate::data::value::ValueRef;

/// The entries of several aggregations that have the same keys.
#[derive(Debug)]
pub struct Joined<'a> {
    names: &'a [String],
    first: &'a Aggregated<'a>,
    values: &'a [Option<AggregationValue>],
}

impl<'a> Joined<'a> {
    /// Returns the names of the joined aggregations, in the order of [`values`](Joined::values).
    #[must_use]
    pub fn names(&self) -> &'a [String] {
        self.names
    }

    /// Returns the keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = ValueRef<'a>> + use<'a> {
        self.first.keys()
    }

    /// Converts the key at `index`, from 0, to the requested type.
    ///
    /// # Errors
    /// The same as those of [`Aggregated::key`].
    pub fn key<T: FromValue<'a>>(&self, index: usize) -> Result<T, TypeError> {
        self.first.key(index)
    }

    /// Returns the values, in the order in which the aggregations were named; `None` for one without an entry
    /// for these keys.
    #[must_use]
    pub fn values(&self) -> &'a [Option<AggregationValue>] {
        self.values
    }
}

/// Collects the entries of a walk to join.
#[derive(Debug, Default)]
pub(crate) struct Join {
    names: Vec<String>,
    /// For each tuple of keys, in the order of arrival: its first entry, and the values so far.
    rows: Vec<Row>,
    positions: HashMap<Vec<u8>, usize>,
    /// Their approximate size in bytes.
    kept: usize,
}

#[derive(Debug)]
struct Row {
    first: OwnedEntry,
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
            let first = OwnedEntry::of_total(&entry.frame);
            // The keys are kept twice.
            self.kept += first.size() + keys.len() + values;
            self.rows.push(Row { first, values: vec![None; self.names.len()] });
            self.rows.len() - 1
        });
        // The counts of a distribution.
        self.kept += entry.frame.value.len();
        self.rows[position].values[column] = Some(entry.value.clone());
    }

    /// Returns the approximate size of the collected entries, in bytes.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Delivers the collected entries, and starts anew.
    pub(crate) fn finish<E>(
        &mut self,
        aggregations: &foldhash::HashMap<u32, Aggregation>,
        symbols: &Symbols,
        mut visit: impl FnMut(&Joined<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.positions.clear();
        self.kept = 0;
        for row in std::mem::take(&mut self.rows) {
            let aggregation = aggregations.get(&row.first.aggregation);
            let first =
                aggregation.and_then(|a| Aggregated::new(a, row.first.frame(), symbols).ok());
            if let Some(first) = first {
                visit(&Joined { names: &self.names, first: &first, values: &row.values })?;
            }
        }
        Ok(())
    }
}
