//! Turns what libdtrace delivers into frames: descriptions once, data as they are.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::ledger::Ledger;
use crate::boundary::drop_counters::CpuDrops;
use crate::description::{OptionChange, ProcessEvent};
use crate::layout::{self, Field};
use crate::loss::{DropReport, Fault};
use crate::probe::Probe;
use crate::record::{Action, RecordDescription};
use crate::stream::frame::{
    AggregationFrame, ClauseFrame, EntryFrame, FailureFrame, FailureKind, FiringFrame, Frame,
    SymbolFrame,
};

/// How much is gathered before it is written without waiting for the end of a round.
const PIECE: usize = 128 << 10;

/// How a clause's firings are treated, worked out once from its records.
#[derive(Debug)]
pub(crate) struct Clause {
    /// The number by which the stream refers to it.
    pub(crate) key: u32,
    /// Bytes of a firing's data.
    pub(crate) length: usize,
    /// Whether libdtrace has nothing to do for it: all of its actions only record.
    pub(crate) pure: bool,
    /// Whether it has records that libdtrace would format.
    pub(crate) prints: bool,
    /// Whether the consumer has to carry out something, whoever wants the firings.
    pub(crate) asks: bool,
    exit: Option<RecordDescription>,
    with_addresses: Vec<Field>,
}

impl Clause {
    fn new(key: u32, records: &[RecordDescription]) -> Clause {
        Clause {
            key,
            length: records.iter().map(|r| r.offset as usize + r.size as usize).max().unwrap_or(0),
            pure: records.iter().all(|r| only_records(r.action)),
            prints: records.iter().any(|r| r.action != Action::Exit),
            asks: records.iter().any(|r| is_performed(r.action)),
            exit: records.iter().find(|r| r.action == Action::Exit).cloned(),
            with_addresses: with_addresses(layout::of_clause(records.to_vec())),
        }
    }

    /// The argument of `exit()`, if the clause has called it.
    pub(crate) fn exit_status(&self, data: &[u8]) -> Option<i32> {
        let bytes = self.exit.as_ref()?.bytes(data)?;
        bytes.first_chunk().map(|b| i32::from_ne_bytes(*b))
    }

    /// Calls `visit` with process and address for every address in the firing's records.
    pub(crate) fn addresses(&self, data: &[u8], mut visit: impl FnMut(u32, u64)) {
        for addresses in self.with_addresses.iter().filter_map(|field| field.addresses(data)) {
            addresses.iter().for_each(|address| visit(addresses.pid, address));
        }
    }
}

fn with_addresses(fields: Vec<Field>) -> Vec<Field> {
    fields.into_iter().filter(Field::has_addresses).collect()
}

/// Whether the consumer carries the action out.
pub(crate) fn is_performed(action: Action) -> bool {
    matches!(action, Action::System | Action::Freopen)
}

/// Whether an action only records, so that libdtrace has nothing to do when it is consumed.
fn only_records(action: Action) -> bool {
    use Action::*;
    matches!(
        action,
        Trace | Exit | Printf | Tracemem | Print | Stack | UStack | Sym | Mod | USym | UMod | UAddr
    )
}

/// What has been described of an aggregation.
struct Described {
    key: u32,
    normal: u64,
    with_addresses: Vec<Field>,
}

/// Writes frames to the channel, in pieces.
pub(crate) struct Encoder {
    channel: UnixStream,
    out: Vec<u8>,
    /// The first failure to write; nothing is written after it.
    broken: bool,
    firings_wanted: bool,
    firings: u64,
    processes_gone: usize,
    probes: HashSet<u32>,
    clauses: HashMap<(u32, usize), Rc<Clause>>,
    aggregations: HashMap<u64, Described>,
    next_aggregation: u32,
    symbols: HashSet<(u32, u64)>,
    given_up: bool,
    ledger: Ledger,
}

impl Encoder {
    pub(crate) fn new(channel: UnixStream, firings_wanted: bool) -> Encoder {
        Encoder {
            channel,
            out: Vec::new(),
            broken: false,
            firings_wanted,
            firings: 0,
            processes_gone: 0,
            probes: HashSet::new(),
            clauses: HashMap::new(),
            aggregations: HashMap::new(),
            next_aggregation: 0,
            symbols: HashSet::new(),
            given_up: false,
            ledger: Ledger::default(),
        }
    }

    /// Whether the consumer is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the reason for the session's end has been sent.
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up
    }

    pub(crate) fn wants_firings(&self) -> bool {
        self.firings_wanted
    }

    /// How many firings have come so far.
    pub(crate) fn firings(&self) -> u64 {
        self.firings
    }

    pub(crate) fn send(&mut self, frame: &Frame<'_>) {
        if !self.broken {
            frame.encode(&mut self.out);
            if self.out.len() >= PIECE {
                self.flush();
            }
        }
    }

    /// Writes what has been gathered. A consumer that is slow makes this wait, and then the kernel's
    /// buffers fill and drops are counted; one that is gone is noted.
    pub(crate) fn flush(&mut self) {
        if !self.broken && self.channel.write_all(&self.out).is_err() {
            self.broken = true;
        }
        self.out.clear();
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.send(&Frame::End);
        self.flush();
        self.channel.shutdown(std::net::Shutdown::Both)
    }

    /// The clause of a statement, described on its first firing. `records_at` tells one record list
    /// of a statement from another.
    pub(crate) fn clause(
        &mut self,
        statement: u32,
        records_at: usize,
        describe: impl FnOnce() -> Vec<RecordDescription>,
    ) -> Rc<Clause> {
        if let Some(clause) = self.clauses.get(&(statement, records_at)) {
            return Rc::clone(clause);
        }
        let records = describe();
        let key = u32::try_from(self.clauses.len()).unwrap_or(u32::MAX);
        let clause = Rc::new(Clause::new(key, &records));
        self.clauses.insert((statement, records_at), Rc::clone(&clause));
        self.send(&Frame::Clause(ClauseFrame { key, statement, records }));
        clause
    }

    pub(crate) fn probe(&mut self, id: u32, describe: impl FnOnce() -> Probe) {
        if self.probes.insert(id) {
            self.send(&Frame::Probe(describe()));
        }
    }

    pub(crate) fn symbol(&mut self, pid: u32, address: u64, resolve: impl FnOnce() -> String) {
        if self.symbols.insert((pid, address)) {
            self.send(&Frame::Symbol(SymbolFrame { pid, address, text: resolve() }));
        }
    }

    pub(crate) fn firing(&mut self, frame: &FiringFrame<'_>) {
        self.firings += 1;
        self.send(&Frame::Firing(*frame));
    }

    /// The number of an aggregation, described when it is first met and whenever its normal changes.
    pub(crate) fn aggregation(
        &mut self,
        variable: u64,
        normal: u64,
        describe: impl FnOnce(u32) -> AggregationFrame,
    ) -> u32 {
        if let Some(known) = self.aggregations.get(&variable)
            && known.normal == normal
        {
            return known.key;
        }
        let frame = describe(self.next_aggregation);
        let key = frame.key;
        self.next_aggregation += 1;
        let with_addresses = with_addresses(layout::of_keys(frame.keys.clone()));
        self.aggregations.insert(variable, Described { key, normal, with_addresses });
        self.send(&Frame::Aggregation(frame));
        key
    }

    /// Resolves the addresses among an entry's keys.
    pub(crate) fn key_addresses(
        &mut self,
        aggregation: u32,
        keys: &[u8],
        resolve: impl Fn(u32, u64) -> String,
    ) {
        let records = self.aggregations.values().find(|d| d.key == aggregation);
        let found: Vec<(u32, u64)> = records
            .iter()
            .flat_map(|d| &d.with_addresses)
            .filter_map(|field| field.addresses(keys))
            .flat_map(|addresses| addresses.iter().map(move |a| (addresses.pid, a)))
            .collect();
        for (pid, address) in found {
            self.symbol(pid, address, || resolve(pid, address));
        }
    }

    pub(crate) fn entry(&mut self, frame: &EntryFrame<'_>) {
        self.send(&Frame::Entry(*frame));
    }

    pub(crate) fn exit(&mut self, status: i32) {
        self.send(&Frame::Exit(status));
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.send(&Frame::Fault(fault));
    }

    /// libdtrace tells of drops.
    pub(crate) fn dropped(&mut self, report: DropReport) {
        if let Some(report) = self.ledger.correct(report) {
            self.send(&Frame::Drop(report));
        }
    }

    /// Tells of the drops that libdtrace has not told of, when nothing can be dropped any more.
    pub(crate) fn settle_drops(&mut self, counters: &[CpuDrops]) {
        for report in self.ledger.settle(counters) {
            self.send(&Frame::Drop(report));
        }
    }

    pub(crate) fn option(&mut self, change: OptionChange) {
        self.send(&Frame::OptionChange(change));
    }

    /// How many of the processes that libdtrace controls have ended.
    pub(crate) fn processes_gone(&self) -> usize {
        self.processes_gone
    }

    pub(crate) fn process(&mut self, event: ProcessEvent) {
        self.processes_gone += usize::from(event.gone);
        self.send(&Frame::Process(event));
    }

    /// A callback panicked: the session is about to end, and this is why.
    pub(crate) fn panicked(&mut self) {
        self.failed(
            FailureKind::Surroundings,
            "decode what libdtrace delivered",
            "the worker panicked; this is a bug of dtrace-consumer".to_owned(),
        );
    }

    /// A callback cannot make sense of what it was given by `call`: the session is about to end, and this
    /// is why.
    pub(crate) fn give_up(&mut self, call: &str, message: String) {
        self.failed(FailureKind::Call, call, message);
    }

    fn failed(&mut self, kind: FailureKind, attempt: &str, message: String) {
        // The first failure is the cause of those that come after it.
        if !std::mem::replace(&mut self.given_up, true) {
            let attempt = attempt.to_owned();
            self.send(&Frame::Failure(FailureFrame {
                kind,
                attempt,
                number: 0,
                message,
                script: None,
            }));
        }
    }
}
