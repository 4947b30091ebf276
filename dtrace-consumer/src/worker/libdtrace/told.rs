//! What has already been described to the consumer.

use std::collections::HashSet;
use std::rc::Rc;

use super::clause::{Clause, with_addresses};
use super::named_text::Names;
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
    /// The probes and clauses that fired last, each at the remainder of its number.
    recent: Recent,
    aggregations: foldhash::HashMap<(u64, u32), Aggregation>,
    next_aggregation: u32,
    symbols: HashSet<(u32, u64)>,
    pub(super) names: Names,
    /// The size of a D string in a clause's records, if it is known. Set when tracing is on.
    pub(super) string_size: Option<u32>,
}

/// How many probes and clauses are found without hashing at most.
const RECENT: usize = 16;

#[derive(Default)]
struct Recent {
    probes: [Option<u32>; RECENT],
    clauses: [Option<(u32, usize, Rc<Clause>)>; RECENT],
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
    /// Returns the clause of a statement, if it was described. `records_at` distinguishes the record lists of a
    /// statement.
    #[inline]
    pub(super) fn known_clause(
        &mut self,
        statement: u32,
        records_at: usize,
    ) -> Option<&Rc<Clause>> {
        let recent = &mut self.recent.clauses[statement as usize % RECENT];
        if !matches!(recent, Some((of, at, _)) if (*of, *at) == (statement, records_at)) {
            let clause = self.clauses.get(&(statement, records_at))?;
            *recent = Some((statement, records_at, Rc::clone(clause)));
        }
        recent.as_ref().map(|(.., clause)| clause)
    }

    /// Adds a clause that was not known. Returns the frame that describes it, too.
    pub(super) fn new_clause(
        &mut self,
        statement: u32,
        records_at: usize,
        records: Vec<RecordDescription>,
    ) -> (Rc<Clause>, Frame<'static>) {
        let key = u32::try_from(self.clauses.len()).unwrap_or(u32::MAX);
        let clause = Rc::new(Clause::new(key, &records, self.string_size));
        self.clauses.insert((statement, records_at), Rc::clone(&clause));
        (clause, Frame::Clause(ClauseFrame { key, statement, records }))
    }

    /// Returns whether a probe was not described yet, and notes that it is now.
    #[inline]
    pub(super) fn is_new_probe(&mut self, id: u32) -> bool {
        let recent = &mut self.recent.probes[id as usize % RECENT];
        recent.replace(id) != Some(id) && self.probes.insert(id)
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
    /// normal changes. `layout` tells apart keys that are laid out differently.
    pub(super) fn aggregation(
        &mut self,
        (variable, layout): (u64, u32),
        normal: u64,
        describe: impl FnOnce(u32) -> AggregationFrame,
    ) -> (Rc<Keys>, Option<Frame<'static>>) {
        if let Some(known) = self.aggregations.get(&(variable, layout))
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
        self.aggregations
            .insert((variable, layout), Aggregation { normal, keys: Rc::clone(&keys) });
        (keys, Some(Frame::Aggregation(frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_new_once_whatever_fires_in_between() {
        let mut told = Told::default();
        let probes = [1, 17, 2, 33, 0];
        assert!(probes.iter().all(|id| told.is_new_probe(*id)));
        for id in probes.iter().chain(probes.iter().rev()) {
            assert!(!told.is_new_probe(*id), "{id}");
        }
    }

    #[test]
    fn a_clause_is_known_by_its_statement_and_its_list_of_records() {
        let mut told = Told::default();
        let clauses = [(1, 100), (17, 100), (1, 200), (2, 100)];
        for (key, (statement, records_at)) in (0..).zip(clauses) {
            assert!(told.known_clause(statement, records_at).is_none());
            assert_eq!(told.new_clause(statement, records_at, Vec::new()).0.key, key);
        }
        for _ in 0..2 {
            for (key, (statement, records_at)) in (0..).zip(clauses) {
                let known = told.known_clause(statement, records_at);
                assert_eq!(known.map(|clause| clause.key), Some(key));
            }
        }
        assert!(told.known_clause(17, 200).is_none());
    }
}
