//! What a stream has described so far.

use foldhash::HashMap;

use super::aggregation::Aggregation;
use super::kept;
use crate::data::aggregation::ParameterEncoding;
use crate::data::probe::Probe;
use crate::data::session_info::Platform;
use crate::data::symbol::Symbols;
use crate::records::layout::{self, Field};
use crate::stream::packed::{Packing, Unpacked};
use crate::stream::payload::{AggregationFrame, ClauseFrame, SymbolFrame};
use crate::stream::wire::Malformed;

/// The descriptions that later frames refer to by number.
#[derive(Debug, Default)]
pub(crate) struct Described {
    pub(super) probes: Numbered<Probe>,
    pub(super) clauses: Numbered<Clause>,
    pub(super) aggregations: HashMap<u32, Aggregation>,
    pub(super) symbols: Symbols,
}

/// How to decode the firings of a clause.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) statement: u32,
    /// Adapted to the data of a firing.
    pub(super) fields: Vec<Field>,
    packing: Packing,
}

impl Clause {
    /// Returns the data of a firing, in which the fields are found.
    #[inline]
    pub(super) fn data<'d>(
        &self,
        packed: &'d [u8],
        unpacked: &'d mut Unpacked,
    ) -> Result<&'d [u8], Malformed> {
        match self.packing.whole() {
            Some(place) if place.len() == packed.len() => Ok(packed),
            // What does not have the length of a whole is refused.
            _ => unpacked.unpack(&self.packing, packed),
        }
    }
}

/// Descriptions by number. Those that were looked up last are found without hashing.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    all: Vec<T>,
    places: HashMap<u32, usize>,
    /// Numbers and places, each at the number's remainder.
    recent: [(u32, usize); RECENT],
}

/// How many descriptions are found without hashing at most.
const RECENT: usize = 16;

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        // There is nothing at the place.
        Numbered { all: Vec::new(), places: HashMap::default(), recent: [(0, usize::MAX); RECENT] }
    }
}

impl<T> Numbered<T> {
    /// Adds a description. It replaces the one of this number.
    fn insert(&mut self, number: u32, described: T) {
        match self.places.get(&number) {
            Some(place) => self.all[*place] = described,
            None => {
                self.places.insert(number, self.all.len());
                self.all.push(described);
            }
        }
    }

    #[inline]
    pub(super) fn get(&mut self, number: u32) -> Option<&T> {
        let recent = &mut self.recent[number as usize % RECENT];
        if recent.0 != number || recent.1 >= self.all.len() {
            *recent = (number, *self.places.get(&number)?);
        }
        self.all.get(recent.1)
    }
}

impl Described {
    pub(super) fn add_probe(&mut self, probe: Probe) {
        self.probes.insert(probe.id, probe);
    }

    pub(super) fn add_clause(&mut self, frame: ClauseFrame) -> Result<(), Malformed> {
        let packing = kept::packing_of(&frame.records)?;
        let start = packing.whole().map_or(0, |place| place.start);
        let fields = layout::of_clause(frame.records);
        let fields = fields.into_iter().map(|field| field.from(start)).collect();
        self.clauses.insert(frame.key, Clause { statement: frame.statement, fields, packing });
        Ok(())
    }

    /// Adds an aggregation. `platform` is that of the stream, if known.
    pub(super) fn add_aggregation(
        &mut self,
        frame: AggregationFrame,
        platform: Option<Platform>,
    ) -> Result<(), Malformed> {
        let packing = kept::packing_of(&frame.keys)?;
        let aggregation = Aggregation::new(frame, packing, encoding(platform));
        self.aggregations.insert(aggregation.key, aggregation);
        Ok(())
    }

    pub(super) fn add_symbol(&mut self, frame: SymbolFrame) {
        self.symbols.insert((frame.pid, frame.address), frame.text);
    }
}

/// Returns how a platform encodes the parameters of distributions.
fn encoding(platform: Option<Platform>) -> ParameterEncoding {
    match platform {
        Some(Platform::FreeBsd | Platform::MacOs | Platform::Illumos) => ParameterEncoding::Sun,
        Some(Platform::Linux) | None => ParameterEncoding::Linux,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_found_by_number_in_whatever_order_they_are_wanted() {
        let mut described = Numbered::default();
        assert_eq!(described.get(0), None);
        // Many have the same remainder.
        let numbers = [0, 1, 16, 17, 32, u32::MAX, u32::MAX - 16, 1 << 20];
        for number in numbers {
            described.insert(number, format!("{number}"));
        }
        for _ in 0..2 {
            for number in numbers.iter().chain(numbers.iter().rev()) {
                assert_eq!(described.get(*number), Some(&number.to_string()));
                assert_eq!(described.get(number ^ 64), None);
            }
        }
        described.insert(17, "another".to_owned());
        assert_eq!(described.get(17).map(String::as_str), Some("another"));
        assert_eq!(described.get(1).map(String::as_str), Some("1"));
    }
}
