//! What does each walk deliver in each mode?

use std::collections::HashMap;

use super::aggregated::Aggregated;
use super::aggregation::Aggregation;
use super::kept::PLACE;
use crate::data::aggregation::{AggregationValue, DecodeError, Mode};
use crate::data::symbol::Symbols;
use crate::stream::payload::EntryFrame;

/// Computes what each walk delivers.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    mode: Mode,
    /// The last value of each entry, by variable and keys. Only for deltas.
    before: HashMap<(u64, Vec<u8>), Before>,
    /// Their approximate size in bytes.
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

    /// Returns the approximate size of what is kept from walk to walk, in bytes.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Returns the entry for the mode; `None` if it has nothing new.
    pub(crate) fn entry<'a>(
        &mut self,
        aggregation: &'a Aggregation,
        frame: EntryFrame<'a>,
        symbols: &'a Symbols,
    ) -> Result<Option<Aggregated<'a>>, DecodeError> {
        let value = aggregation.decode(frame.value)?;
        let (value, frame) = match self.mode {
            Mode::Cumulative | Mode::Drain => (Some(value), frame),
            // The values of each CPU are totals.
            Mode::Delta => {
                let added = self.added(aggregation.variable, frame, value);
                (added, EntryFrame { per_cpu: &[], ..frame })
            }
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
        // After the script's own clear(), the whole value has been added since.
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
