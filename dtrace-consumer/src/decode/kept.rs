//! Limits the memory that a stream can take.
//!
//! Most frames are passed to the closures and forgotten. Descriptions are kept for the whole session, and so
//! are some entries of aggregations. A stream that describes more and more must not exhaust memory.

use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::record::RecordDescription;
use crate::data::warning::Warning;
use crate::stream::frame::Frame;
use crate::stream::packed::Packing;
use crate::stream::wire::Malformed;

/// Approximate size of an entry in one of the tables.
pub(crate) const PLACE: usize = 128;

/// The maximum number of a clause's records, or of an aggregation's keys, that may share a byte. Records of
/// real scripts never overlap. If a thousand did, their values would take a thousand times the size of the
/// stream.
const MOST_OVERLAPPING: usize = 4;

/// Counts the approximate size of what is kept, in bytes.
#[derive(Debug)]
pub(crate) struct Kept {
    limit: usize,
    descriptions: usize,
}

impl Kept {
    pub(crate) fn up_to(limit: usize) -> Kept {
        Kept { limit, descriptions: 0 }
    }

    /// Resets the count: nothing is kept any more.
    pub(crate) fn restart(&mut self) {
        self.descriptions = 0;
    }

    /// Counts an entry in the table of losses, which has a probe's name as its key.
    pub(crate) fn add_probe(&mut self, probe: Option<&Probe>) {
        self.descriptions = self.descriptions.saturating_add(probe.map_or(PLACE, probe_weight));
    }

    /// Counts a warning of this process.
    pub(crate) fn add_warning(&mut self, warning: &Warning) {
        self.descriptions = self.descriptions.saturating_add(warning_weight(warning));
    }

    /// Counts a frame of which a part is kept for the whole session. Refuses it if the total, together with
    /// `entries`, exceeds the limit.
    pub(crate) fn note(&mut self, frame: &Frame<'_>, entries: usize) -> Result<(), Malformed> {
        self.descriptions = self.descriptions.saturating_add(weight(frame));
        if self.descriptions.saturating_add(entries) > self.limit {
            return Err(Malformed::new("descriptions", "exceed the memory limit"));
        }
        Ok(())
    }
}

/// Returns the size of what is kept of a frame, in bytes.
fn weight(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Probe(probe) => probe_weight(probe),
        Frame::Clause(clause) => PLACE + records_weight(&clause.records),
        Frame::Aggregation(a) => PLACE + a.name.len() + records_weight(&a.keys),
        Frame::Symbol(symbol) => PLACE + symbol.text.len(),
        Frame::OptionChange(change) => PLACE + change.name.len(),
        Frame::Process(event) => PLACE + event.message.as_ref().map_or(0, String::len),
        Frame::Warning(warning) => warning_weight(warning),
        Frame::Program(info) => PLACE + info.clauses.iter().map(listed_weight).sum::<usize>(),
        Frame::Contents(contents) => {
            let scripts = contents.scripts.iter().map(|(name, text)| name.len() + text.len());
            let options = contents.options.iter();
            let values =
                options.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
            scripts.chain(values).map(|size| PLACE + size).sum()
        }
        Frame::Options(options) => options.iter().map(|(name, _)| PLACE + name.len()).sum(),
        _ => 0,
    }
}

fn warning_weight(warning: &Warning) -> usize {
    PLACE + warning.subject.len() + warning.message.len()
}

pub(crate) fn probe_weight(probe: &Probe) -> usize {
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

/// Determines how the records of a clause, or the keys of an aggregation, are packed. Refuses records that overlap,
/// and those that take too much memory in their places.
pub(crate) fn packing_of(records: &[RecordDescription]) -> Result<Packing, Malformed> {
    apart(records)?;
    let packing = Packing::of(records);
    packing.check()?;
    Ok(packing)
}

/// Refuses records that overlap.
fn apart(records: &[RecordDescription]) -> Result<(), Malformed> {
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
            return Err(Malformed::new("records", "overlap"));
        }
    }
    Ok(())
}
