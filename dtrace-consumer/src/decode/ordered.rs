//! In which order are the entries of a walk delivered, where that of the stream is not the one?
//!
//! libdtrace sorts what it delivers. It cannot sort differences, which only this process knows, or recordings.

use foldhash::HashMap;

use super::aggregated::Aggregated;
use super::aggregation::Aggregation;
use super::entry::OwnedEntry;
use crate::data::aggregation::{AggregationValue, Order};
use crate::data::symbol::Symbols;
use crate::records::sorting::Place;

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
        let mut places: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let aggregation = aggregations.get(&entry.raw.aggregation)?;
                let Aggregation { variable, keys, .. } = aggregation;
                let place = Place::new(*variable, keys, &entry.raw.keys, entry.value.rank());
                Some((place, entry, aggregation))
            })
            .collect();
        places.sort_by(|(a, ..), (b, ..)| a.compare(b, order));
        for (_, entry, aggregation) in places {
            let frame = entry.raw.frame();
            visit(&Aggregated { aggregation, frame, symbols, value: entry.value.clone() })?;
        }
        Ok(())
    }
}
