//! In which order are the entries of a walk delivered, where that of the stream is not the one?
//!
//! libdtrace sorts what it delivers. It cannot sort differences, which only this process knows, or recordings.

use foldhash::HashMap;
use std::cmp::Ordering;

use super::aggregated::Aggregated;
use super::aggregation::Aggregation;
use super::entry::OwnedEntry;
use crate::data::aggregation::{AggregationValue, Order};
use crate::data::integer::{Integer, Sign};
use crate::data::record::Action;
use crate::data::symbol::Symbols;
use crate::records::layout::Field;

/// Approximate size of what a key is sorted by, in bytes.
const KEY: usize = 64;

/// Collects the entries of a walk to sort.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    /// `None` keeps the order of the stream.
    order: Option<Order>,
    entries: Vec<Entry>,
    /// Their approximate size in bytes.
    kept: usize,
}

#[derive(Debug)]
struct Entry {
    raw: OwnedEntry,
    value: AggregationValue,
}

impl Ordered {
    pub(crate) fn new(order: Option<Order>) -> Ordered {
        Ordered { order: order.filter(|order| *order != Order::Unsorted), ..Ordered::default() }
    }

    /// Returns whether entries are to be collected.
    pub(crate) fn collects(&self) -> bool {
        self.order.is_some()
    }

    pub(crate) fn add(&mut self, entry: &Aggregated<'_>) {
        let raw = OwnedEntry::of(&entry.frame);
        // The value is kept twice, as bytes and decoded.
        self.kept += raw.size() + entry.frame.value.len();
        self.kept += KEY * entry.aggregation.keys.len();
        self.entries.push(Entry { raw, value: entry.value.clone() });
    }

    /// Returns the approximate size of the collected entries, in bytes.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Delivers the collected entries in order, and starts anew.
    pub(crate) fn finish<E>(
        &mut self,
        aggregations: &HashMap<u32, Aggregation>,
        symbols: &Symbols,
        mut visit: impl FnMut(&Aggregated<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.kept = 0;
        let Some(order) = self.order else { return Ok(()) };
        let entries = std::mem::take(&mut self.entries);
        let mut places: Vec<Place<'_>> =
            entries.iter().filter_map(|entry| Place::of(entry, aggregations)).collect();
        places.sort_by(|a, b| a.compare(b, order));
        for Place { entry, aggregation, .. } in places {
            let frame = entry.raw.frame();
            visit(&Aggregated { aggregation, frame, symbols, value: entry.value.clone() })?;
        }
        Ok(())
    }
}

/// An entry, with what it is sorted by.
struct Place<'e> {
    entry: &'e Entry,
    aggregation: &'e Aggregation,
    keys: Vec<(u32, Key<'e>)>,
    layout: Vec<(u32, u32)>,
    value: (&'static str, i128, i64),
}

/// A key as libdtrace compares it: numbers are unsigned.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'e> {
    Number(u64),
    Address(u64, u64),
    Bytes(&'e [u8]),
}

impl<'e> Place<'e> {
    fn of(entry: &'e Entry, aggregations: &'e HashMap<u32, Aggregation>) -> Option<Place<'e>> {
        let aggregation = aggregations.get(&entry.raw.aggregation)?;
        let fields = &aggregation.keys;
        let keys =
            fields.iter().map(|f| (f.description.size, Key::of(f, &entry.raw.keys))).collect();
        let layout = fields.iter().map(|f| (f.description.offset, f.description.size)).collect();
        Some(Place { entry, aggregation, keys, layout, value: entry.value.rank() })
    }

    /// Compares as `dtrace_aggregate_walk_*` do.
    fn compare(&self, other: &Place<'_>, order: Order) -> Ordering {
        let variables = || self.aggregation.variable.cmp(&other.aggregation.variable);
        let number = || self.keys.len().cmp(&other.keys.len());
        let keys = || number().then_with(|| self.keys.cmp(&other.keys));
        let layouts = || number().then_with(|| self.layout.cmp(&other.layout));
        let values = || layouts().then_with(|| self.value.cmp(&other.value)).then_with(keys);
        match order {
            Order::Unsorted => Ordering::Equal,
            Order::Key => variables().then_with(keys),
            Order::KeyReversed => variables().then_with(keys).reverse(),
            Order::KeyAcross => keys().then_with(variables),
            Order::KeyAcrossReversed => keys().then_with(variables).reverse(),
            Order::Value => variables().then_with(values),
            Order::ValueReversed => variables().then_with(values).reverse(),
            Order::ValueAcross => values().then_with(variables),
            Order::ValueAcrossReversed => values().then_with(variables).reverse(),
        }
    }
}

impl<'e> Key<'e> {
    fn of(field: &Field, data: &'e [u8]) -> Key<'e> {
        let bytes = field.description.bytes(data).unwrap_or_default();
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u64::from_ne_bytes(*word))
        };
        match (Integer::from_bytes(bytes, Sign::Unsigned), field.description.action) {
            (Some(number), _) => Key::Number(number.as_u64()),
            (None, Action::USym | Action::UMod | Action::UAddr) => Key::Address(word(0), word(8)),
            (None, _) => Key::Bytes(bytes),
        }
    }
}
