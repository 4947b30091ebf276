//! How much is kept of what a stream says?
//!
//! Most frames are handed to the closures and forgotten. Descriptions stay for as long as the session, and
//! so do some entries of aggregations; a stream that goes on describing must not take all memory.

use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::record::RecordDescription;
use crate::stream::frame::Frame;
use crate::stream::wire::Malformed;

/// What a place in one of the tables takes, about.
pub(crate) const PLACE: usize = 128;

/// How many of a clause's records, or of an aggregation's keys, may hold the same byte. No script makes
/// records that overlap; a stream in which a thousand do would be a thousand times as large when their
/// values are kept.
const MOST_OVERLAPPING: usize = 4;

/// Counts what is kept, in bytes, about.
#[derive(Debug)]
pub(crate) struct Kept {
    limit: usize,
    descriptions: usize,
}

impl Kept {
    pub(crate) fn up_to(limit: usize) -> Kept {
        Kept { limit, descriptions: 0 }
    }

    /// Nothing is kept any more.
    pub(crate) fn restart(&mut self) {
        self.descriptions = 0;
    }

    /// A place in the ledger of losses is taken, by a probe's name.
    pub(crate) fn add_probe(&mut self, probe: Option<&Probe>) {
        self.descriptions = self.descriptions.saturating_add(probe.map_or(PLACE, probe_weight));
    }

    /// Notes a frame of which something is kept as long as the session, and refuses it if that,
    /// together with `entries`, is more than the limit.
    pub(crate) fn note(&mut self, frame: &Frame<'_>, entries: usize) -> Result<(), Malformed> {
        self.descriptions = self.descriptions.saturating_add(weight(frame));
        if self.descriptions.saturating_add(entries) > self.limit {
            return Err(Malformed::new("descriptions", "more than the memory limit"));
        }
        Ok(())
    }
}

/// What stays of a frame, in bytes.
fn weight(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Probe(probe) => probe_weight(probe),
        Frame::Clause(clause) => PLACE + records_weight(&clause.records),
        Frame::Aggregation(a) => PLACE + a.name.len() + records_weight(&a.keys),
        Frame::Symbol(symbol) => PLACE + symbol.text.len(),
        Frame::OptionChange(change) => PLACE + change.name.len(),
        Frame::Process(event) => PLACE + event.message.as_ref().map_or(0, String::len),
        Frame::Program(info) => PLACE + info.clauses.iter().map(listed_weight).sum::<usize>(),
        Frame::Options(options) => options.iter().map(|(name, _)| PLACE + name.len()).sum(),
        _ => 0,
    }
}

fn probe_weight(probe: &Probe) -> usize {
    let Probe { id: _, provider, module, function, name } = probe;
    PLACE + provider.len() + module.len() + function.len() + name.len()
}

fn listed_weight(listed: &ListedProbe) -> usize {
    let arguments = listed.details.iter().flat_map(|details| &details.arguments);
    let types = arguments.map(|a| size_of::<Option<String>>() + a.as_ref().map_or(0, String::len));
    probe_weight(&listed.probe) + types.sum::<usize>()
}

fn records_weight(records: &[RecordDescription]) -> usize {
    let one = |r: &RecordDescription| PLACE + 2 * r.format.as_ref().map_or(0, String::len);
    records.iter().map(one).sum()
}

/// Refuses records that overlap.
pub(crate) fn apart(records: &[RecordDescription]) -> Result<(), Malformed> {
    let mut places: Vec<(u64, u64)> = records
        .iter()
        .filter(|r| r.size > 0)
        .map(|r| (u64::from(r.offset), u64::from(r.offset) + u64::from(r.size)))
        .collect();
    places.sort_unstable();
    let mut ends: Vec<u64> = Vec::new();
    for (start, end) in places {
        ends.retain(|end| *end > start);
        ends.push(end);
        if ends.len() > MOST_OVERLAPPING {
            return Err(Malformed::new("records", "they overlap"));
        }
    }
    Ok(())
}
