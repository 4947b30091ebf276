//! What has already been described to the consumer.

use std::collections::HashSet;
use std::rc::Rc;

use super::clause::{Clause, with_addresses};
use super::named_text::Names;
use crate::data::probe::Probe;
use crate::data::record::RecordDescription;
use crate::records::layout::{self, Field};
use crate::stream::frame::Frame;
use crate::stream::packed::Packing;
use crate::stream::payload::{AggregationFrame, ClauseFrame, SymbolFrame};

/// Remembers what has been described. Returns frames that describe what is new.
#[derive(Default)]
pub(super) struct Told {
    probes: foldhash::HashSet<u32>,
    clauses: foldhash::HashMap<(u32, usize), Rc<Clause>>,
    aggregations: foldhash::HashMap<u64, Aggregation>,
    next_aggregation: u32,
    symbols: HashSet<(u32, u64)>,
    pub(super) names: Names,
    /// The size of a D string in a clause's records, if it is known. Set when tracing is on.
    pub(super) string_size: Option<u32>,
}

/// An aggregation that has been described.
struct Aggregation {
    normal: u64,
    keys: Rc<Keys>,
}

/// How to treat the keys of an aggregation's entries.
pub(super) struct Keys {
    /// The number by which the stream refers to the aggregation.
    pub(super) aggregation: u32,
    pub(super) with_addresses: Vec<Field>,
    pub(super) fields: Vec<Field>,
    pub(super) packing: Packing,
}

impl Told {
    /// Returns the clause of a statement. `records_at` distinguishes the record lists of a statement.
    pub(super) fn clause(
        &mut self,
        statement: u32,
        records_at: usize,
        describe: impl FnOnce() -> Vec<RecordDescription>,
    ) -> (Rc<Clause>, Option<Frame<'static>>) {
        if let Some(clause) = self.clauses.get(&(statement, records_at)) {
            return (Rc::clone(clause), None);
        }
        let records = describe();
        let key = u32::try_from(self.clauses.len()).unwrap_or(u32::MAX);
        let clause = Rc::new(Clause::new(key, &records, self.string_size));
        self.clauses.insert((statement, records_at), Rc::clone(&clause));
        (clause, Some(Frame::Clause(ClauseFrame { key, statement, records })))
    }

    pub(super) fn probe(
        &mut self,
        id: u32,
        describe: impl FnOnce() -> Probe,
    ) -> Option<Frame<'static>> {
        self.probes.insert(id).then(|| Frame::Probe(describe()))
    }

    pub(super) fn symbol(
        &mut self,
        (pid, address): (u32, u64),
        resolve: impl FnOnce() -> String,
    ) -> Option<Frame<'static>> {
        if !self.symbols.insert((pid, address)) {
            return None;
        }
        let text = resolve();
        self.names.add(address, &text);
        Some(Frame::Symbol(SymbolFrame { pid, address, text }))
    }

    /// Returns how to treat an aggregation's keys. Describes the aggregation on first use and whenever its
    /// normal changes.
    pub(super) fn aggregation(
        &mut self,
        variable: u64,
        normal: u64,
        describe: impl FnOnce(u32) -> AggregationFrame,
    ) -> (Rc<Keys>, Option<Frame<'static>>) {
        if let Some(known) = self.aggregations.get(&variable)
            && known.normal == normal
        {
            return (Rc::clone(&known.keys), None);
        }
        let frame = describe(self.next_aggregation);
        self.next_aggregation += 1;
        let fields = layout::of_keys(frame.keys.clone());
        let keys = Rc::new(Keys {
            aggregation: frame.key,
            // libdtrace compares keys by their bytes, and therefore clears what lies behind a string.
            packing: Packing::of(&frame.keys),
            with_addresses: with_addresses(fields.clone()),
            fields,
        });
        self.aggregations.insert(variable, Aggregation { normal, keys: Rc::clone(&keys) });
        (keys, Some(Frame::Aggregation(frame)))
    }
}
