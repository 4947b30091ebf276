//! An entry of an aggregation that is kept beyond its frame.

use super::kept::PLACE;
use crate::stream::payload::EntryFrame;

/// An entry with its own bytes: one to sort, to join, or that a `printa()` prints.
#[derive(Debug)]
pub(crate) struct OwnedEntry {
    pub(super) aggregation: u32,
    generation: u64,
    pub(super) keys: Vec<u8>,
    value: Vec<u8>,
    per_cpu: Vec<u8>,
}

impl OwnedEntry {
    pub(super) fn of(frame: &EntryFrame<'_>) -> OwnedEntry {
        let EntryFrame { aggregation, generation, keys, value, per_cpu } = *frame;
        OwnedEntry {
            aggregation,
            generation,
            keys: keys.to_vec(),
            value: value.to_vec(),
            per_cpu: per_cpu.to_vec(),
        }
    }

    /// Keeps an entry whose values by CPU nobody gets to see.
    pub(super) fn of_total(frame: &EntryFrame<'_>) -> OwnedEntry {
        OwnedEntry::of(&EntryFrame { per_cpu: &[], ..*frame })
    }

    pub(super) fn frame(&self) -> EntryFrame<'_> {
        EntryFrame {
            aggregation: self.aggregation,
            generation: self.generation,
            keys: &self.keys,
            value: &self.value,
            per_cpu: &self.per_cpu,
        }
    }

    /// Returns its approximate size, in bytes.
    pub(super) fn size(&self) -> usize {
        PLACE + self.keys.len() + self.value.len() + self.per_cpu.len()
    }
}
