//! What do the kernel's maps say of the aggregations?
//!
//! libdtrace's BPF programs keep the aggregations in a hash map for each CPU. A key starts with the number of its
//! aggregation, which is followed by the script's keys. A value starts with a generation: that of the aggregation
//! when the program last wrote the value, or zero before the first time. Another map has the current generations.
//! `clear()` in a script only increments the current one, so that older values no longer count.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use super::told::Keys;
use crate::data::aggregation::{AggregationFunction, AggregationValue, Order, ParameterEncoding};
use crate::records::sorting::Place;

/// The access to the kernel's maps of aggregations.
pub(crate) trait KernelMaps {
    /// Watches how libdtrace reads the maps in the call `snapshot`. If `instead` is true, reads the maps itself. Then
    /// libdtrace gets to see only one key of each aggregation, or of each map.
    fn watch(&self, instead: bool, snapshot: &mut dyn FnMut()) -> Watched;

    /// Removes keys from a map.
    ///
    /// # Errors
    /// The kernel refuses it.
    fn remove(&self, map: u32, keys: &[u8], key_size: usize) -> io::Result<()>;
}

/// What happened in a call in which libdtrace reads its maps.
#[derive(Debug)]
#[cfg_attr(
    not(dtrace_abi = "linux"),
    expect(dead_code, reason = "nothing but libdtrace reads them")
)]
pub(crate) enum Watched {
    /// libdtrace read none: there are none, or its last snapshot is still valid.
    Nothing,
    /// libdtrace read all maps to the end.
    ByLibdtrace,
    /// All maps were read for libdtrace.
    Instead(Contents),
    /// Some maps were read for libdtrace, but not all.
    InPart,
    /// libdtrace failed before the end.
    Interrupted,
}

/// The contents of the maps.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The size of a key in the maps: that of the longest.
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    /// In the order in which libdtrace reads them.
    pub(crate) maps: Vec<MapContents>,
    /// The current generation of each aggregation.
    pub(crate) generations: HashMap<u32, u64>,
}

/// The contents of one map.
#[derive(Debug, Default)]
pub(crate) struct MapContents {
    pub(crate) id: u32,
    pub(crate) keys: Vec<u8>,
    pub(crate) values: Vec<u8>,
}

/// Returns the number of the aggregation that a key belongs to.
pub(crate) fn aggregation_of(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

/// Returns the generation of a value in a map; zero if nothing has been written yet.
pub(crate) fn generation_of(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |generation| u64::from_ne_bytes(*generation))
}

impl Contents {
    /// Returns the keys and values of a map.
    pub(super) fn elements<'c>(
        &self,
        map: &'c MapContents,
    ) -> impl Iterator<Item = (&'c [u8], &'c [u8])> {
        let keys = map.keys.chunks_exact(self.key_size.max(1));
        keys.zip(map.values.chunks_exact(self.value_size.max(1)))
    }
}

/// What an aggregation's keys and values are.
pub(super) struct Kind {
    pub(super) keys: Rc<Keys>,
    pub(super) function: AggregationFunction,
    pub(super) signature: u64,
    /// The size of the keys, with the number in front of them.
    pub(super) key_size: usize,
    /// Where the value itself lies in a map's value.
    pub(super) value: Range<usize>,
}

impl Kind {
    /// Sets a value to that of an aggregation that has been cleared.
    fn clear(&self, value: &mut [u8]) {
        let empty = match self.function {
            AggregationFunction::Min => i64::MAX,
            AggregationFunction::Max => i64::MIN,
            _ => 0,
        };
        for word in value.as_chunks_mut().0 {
            *word = empty.to_ne_bytes();
        }
    }

    /// Adds a CPU's value.
    ///
    /// libdtrace adds all words independently of each other. This loses the carry of a `stddev`, whose sum of squares
    /// has two words.
    fn add(&self, value: &mut [u8], of_cpu: &[u8]) {
        for (word, added) in value.as_chunks_mut().0.iter_mut().zip(of_cpu.as_chunks().0) {
            let (own, added) = (i64::from_ne_bytes(*word), i64::from_ne_bytes(*added));
            let sum = match self.function {
                AggregationFunction::Min => own.min(added),
                AggregationFunction::Max => own.max(added),
                _ => own.wrapping_add(added),
            };
            *word = sum.to_ne_bytes();
        }
    }
}

/// An entry of an aggregation, with the values of all CPUs in one.
pub(super) struct Merged<'c> {
    pub(super) variable: u32,
    pub(super) kind: &'c Kind,
    pub(super) keys: &'c [u8],
    pub(super) generation: u64,
    value: Range<usize>,
}

/// The entries of all aggregations.
pub(super) struct Entries<'c> {
    entries: Vec<Merged<'c>>,
    values: Vec<u8>,
}

impl<'c> Entries<'c> {
    /// Merges the values of all CPUs. Returns `None` if the contents do not fit the `kinds` of aggregations.
    ///
    /// In the order of the entries, the newest comes first, as in libdtrace's own list.
    pub(super) fn merge(contents: &'c Contents, kinds: &'c HashMap<u32, Kind>) -> Option<Self> {
        let mut merged = Entries { entries: Vec::new(), values: Vec::new() };
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        for map in &contents.maps {
            for (key, data) in contents.elements(map) {
                let generation = generation_of(data);
                if generation == 0 {
                    continue;
                }
                let variable = aggregation_of(key)?;
                let kind = kinds.get(&variable)?;
                let current = *contents.generations.get(&variable)?;
                let (keys, of_cpu) = (key.get(..kind.key_size)?, data.get(kind.value.clone())?);
                let place = *places.entry(keys).or_insert_with(|| {
                    merged.add(Merged { variable, kind, keys, generation: current, value: 0..0 })
                });
                // What was written before a clear() does not count.
                if generation >= current {
                    let value = merged.entries.get(place)?.value.clone();
                    kind.add(merged.values.get_mut(value)?, of_cpu);
                }
            }
        }
        merged.entries.reverse();
        Some(merged)
    }

    /// Adds an entry without values. Returns its place.
    fn add(&mut self, entry: Merged<'c>) -> usize {
        let start = self.values.len();
        self.values.resize(start + entry.kind.value.len(), 0);
        entry.kind.clear(&mut self.values[start..]);
        self.entries.push(Merged { value: start..self.values.len(), ..entry });
        self.entries.len() - 1
    }

    /// Sorts the entries as libdtrace does. Returns `None` if that cannot be done exactly.
    pub(super) fn sort(&mut self, order: Order) -> Option<()> {
        if order == Order::Unsorted {
            return Some(());
        }
        let Entries { entries, values } = self;
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries.drain(..) {
            let rank = match order.is_by_value() {
                true => entry.rank(values.get(entry.value.clone())?)?,
                false => ("", 0, 0),
            };
            let (variable, fields) = (u64::from(entry.variable), &entry.kind.keys.fields);
            places.push((Place::new(variable, fields, entry.keys, rank), entry));
        }
        // libdtrace's order of what it regards as equal is no particular one either.
        places.sort_unstable_by(|(a, _), (b, _)| a.compare(b, order));
        entries.extend(places.into_iter().map(|(_, entry)| entry));
        Some(())
    }

    /// Returns the entries with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Merged<'c>, &[u8])> {
        self.entries.iter().filter_map(|entry| Some((entry, self.values.get(entry.value.clone())?)))
    }
}

impl Merged<'_> {
    /// Returns what its value is sorted by; `None` if libdtrace might sort it differently.
    fn rank(&self, value: &[u8]) -> Option<(&'static str, i128, i64)> {
        let Kind { function, signature, .. } = *self.kind;
        let value =
            AggregationValue::decode_in(ParameterEncoding::Linux, function, signature, value, 1);
        value.ok().filter(AggregationValue::has_exact_rank).map(|value| value.rank())
    }
}

#[cfg(test)]
mod tests;
