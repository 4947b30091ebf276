//! Which frames does a stream consist of, and what is in each?
//!
//! A frame is `u32 length, u8 kind, payload` (the length counts kind and payload). A stream begins
//! with [`Frame::Begin`], which carries the format's version. Descriptions of probes, clauses,
//! aggregations and symbols are sent once, before the first frame that refers to them by number.
//! Within a version, fields are only ever appended to a payload; a reader ignores what follows the
//! fields that it knows, and skips kinds that it does not know.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::wire::{Malformed, Put, Take};
use crate::description::{OptionChange, ProcessEvent, ProgramInfo, SessionInfo};
use crate::kernel_type::KernelType;
use crate::listing::ListedProbe;
use crate::lookup::KernelSymbol;
use crate::loss::{DropReport, Fault};
use crate::outcome::CommandOutcome;
use crate::probe::Probe;
use crate::record::RecordDescription;

/// The version of the stream format that this crate writes.
pub(crate) const FORMAT_VERSION: u16 = 1;

const MAGIC: u32 = u32::from_le_bytes(*b"DTrS");

/// Bytes of the first frame's body, up to its version, that every version of the format has: kind,
/// magic, version.
pub(crate) const PREAMBLE: usize = 7;

/// The version in the body of a stream's first frame; `None` if it is not one.
pub(crate) fn format_version(body: &[u8]) -> Option<u16> {
    let t = &mut Take::new(body);
    let begins = t.u8("frame kind") == Ok(1) && t.u32("magic") == Ok(MAGIC);
    begins.then(|| t.u16("format version").ok()).flatten()
}

/// Whether `body` is the beginning of a stream's first frame, as far as it goes.
pub(crate) fn may_begin(body: &[u8]) -> bool {
    let beginning = [&[1][..], &MAGIC.to_le_bytes()].concat();
    body.iter().zip(&beginning).all(|(a, b)| a == b)
}

/// How the records of one clause lie in its firings' data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClauseFrame {
    /// The number by which firings refer to it.
    pub(crate) key: u32,
    /// libdtrace's number of the statement.
    pub(crate) statement: u32,
    pub(crate) records: Vec<RecordDescription>,
}

/// How an aggregation's keys and value lie in its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AggregationFrame {
    pub(crate) key: u32,
    /// libdtrace's number of the aggregation variable.
    pub(crate) variable: u64,
    pub(crate) name: String,
    /// In the numbering of [`crate::aggregation::AggregationFunction`].
    pub(crate) function: u16,
    /// The parameters of lquantize and llquantize, in the platform's encoding.
    pub(crate) signature: u64,
    /// The divisor set by `normalize()`; 1 where there is none.
    pub(crate) normal: u64,
    pub(crate) keys: Vec<RecordDescription>,
}

/// One key of an aggregation with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryFrame<'a> {
    pub(crate) aggregation: u32,
    /// Changes whenever the script clears the aggregation.
    pub(crate) generation: u64,
    pub(crate) keys: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The value on each CPU, one after another, each as long as `value`; empty unless asked for.
    pub(crate) per_cpu: &'a [u8],
}

/// One firing of one clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FiringFrame<'a> {
    pub(crate) probe: u32,
    pub(crate) clause: u32,
    pub(crate) cpu: u32,
    pub(crate) flow: Option<FlowFrame<'a>>,
    pub(crate) data: &'a [u8],
    /// What libdtrace printed, all records together.
    pub(crate) text: &'a [u8],
    /// `u32 record, u32 end` for each record that printed: where its text ends within `text`.
    pub(crate) text_ends: &'a [u8],
}

/// Flow indentation, as libdtrace works it out when `flowindent` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowFrame<'a> {
    /// 0 entry, 1 return, 2 neither.
    pub(crate) kind: u8,
    pub(crate) indent: i32,
    pub(crate) prefix: &'a [u8],
}

/// The symbol at an address, which is resolved where tracing takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SymbolFrame {
    /// The process, or 0 for the kernel.
    pub(crate) pid: u32,
    pub(crate) address: u64,
    /// As `module`function+0x1f`.
    pub(crate) text: String,
}

/// Where tracing failed, and libdtrace's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailureFrame {
    pub(crate) kind: FailureKind,
    /// What was attempted: the name of libdtrace's function, or what the worker did.
    pub(crate) attempt: String,
    /// libdtrace's or the system's number; 0 where there is none.
    pub(crate) number: i32,
    pub(crate) message: String,
    /// The script to which it belongs, by position.
    pub(crate) script: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The library could not be loaded or is of an unsupported version.
    Load = 1,
    /// An option was refused; `attempt` is its name.
    Option = 2,
    /// A script did not compile.
    Compile = 3,
    /// A D library did not compile; `attempt` is its file.
    Library = 4,
    /// A process could not be grabbed; `number` is errno.
    Process = 5,
    /// Any other call into libdtrace failed.
    Call = 6,
    /// Something around libdtrace failed (mounts, channel).
    Surroundings = 7,
    /// A worker that serves another user does not do it for that user; `attempt` says what. It comes
    /// in place of the first frame, so no recording has it.
    Refused = 8,
}

impl FailureKind {
    fn from_number(n: u8) -> Option<FailureKind> {
        use FailureKind as K;
        [
            K::Load,
            K::Option,
            K::Compile,
            K::Library,
            K::Process,
            K::Call,
            K::Surroundings,
            K::Refused,
        ]
        .get(usize::from(n).checked_sub(1)?)
        .copied()
    }
}

/// How long the steps of a session took in the worker, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepTimes {
    pub(crate) load: u64,
    pub(crate) open: u64,
    pub(crate) compile: u64,
    pub(crate) enable: u64,
    pub(crate) go: u64,
}

/// Everything a stream can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame<'a> {
    Begin(SessionInfo),
    Program(ProgramInfo),
    /// Tracing is on.
    Started(StepTimes),
    Probe(Probe),
    Clause(ClauseFrame),
    Firing(FiringFrame<'a>),
    Aggregation(AggregationFrame),
    /// The entries that follow belong to one snapshot.
    SnapshotBegin,
    Entry(EntryFrame<'a>),
    SnapshotEnd,
    Symbol(SymbolFrame),
    Drop(DropReport),
    Fault(Fault),
    OptionChange(OptionChange),
    Process(ProcessEvent),
    Failure(FailureFrame),
    /// The script called `exit(status)`.
    Exit(i32),
    /// Everything has been delivered; the worker sends nothing after this.
    End,
    /// The traced command has ended. The consumer adds this to a recording.
    CommandEnd(CommandOutcome),
    /// The values of the options that the consumer asked for, as they are when tracing begins.
    Options(Vec<(String, Option<u64>)>),
    /// A probe of a listing.
    Listed(ListedProbe),
    /// What dtrace(1) would print of the aggregations at the end.
    Report(&'a [u8]),
    /// The entries that follow, to the next snapshot's end, are those that a `printa()` of the next
    /// firing printed.
    PrintaBegin,
    /// The answer to one question of a look-up; `None` if there is no such symbol.
    Found(Option<KernelSymbol>),
    /// The answer to one question for a type; `None` if there is no such type.
    FoundType(Option<KernelType>),
    /// What was recorded when the consumer asked for it has been delivered, and its addresses are
    /// described.
    CaughtUp,
}

impl Frame<'_> {
    fn kind(&self) -> u8 {
        match self {
            Frame::Begin(_) => 1,
            Frame::Program(_) => 2,
            Frame::Started(_) => 3,
            Frame::Probe(_) => 4,
            Frame::Clause(_) => 5,
            Frame::Firing(_) => 6,
            Frame::Aggregation(_) => 7,
            Frame::SnapshotBegin => 8,
            Frame::Entry(_) => 9,
            Frame::SnapshotEnd => 10,
            Frame::Symbol(_) => 11,
            Frame::Drop(_) => 12,
            Frame::Fault(_) => 13,
            Frame::OptionChange(_) => 14,
            Frame::Process(_) => 15,
            Frame::Failure(_) => 16,
            Frame::Exit(_) => 17,
            Frame::End => 18,
            Frame::CommandEnd(_) => 19,
            Frame::Options(_) => 20,
            Frame::Listed(_) => 21,
            Frame::Report(_) => 22,
            Frame::PrintaBegin => 23,
            Frame::Found(_) => 24,
            Frame::FoundType(_) => 25,
            Frame::CaughtUp => 26,
        }
    }

    /// Appends the whole frame, envelope included.
    pub(crate) fn encode(&self, b: &mut Vec<u8>) {
        let start = b.len();
        b.put_u32(0);
        b.put_u8(self.kind());
        self.put(b);
        let length = u32::try_from(b.len() - start - 4).unwrap_or(u32::MAX);
        b[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn put(&self, b: &mut Vec<u8>) {
        match self {
            Frame::Begin(info) => {
                b.put_u32(MAGIC);
                b.put_u16(FORMAT_VERSION);
                info.put(b);
            }
            Frame::Program(info) => info.put(b),
            Frame::Started(times) => {
                for t in [times.load, times.open, times.compile, times.enable, times.go] {
                    b.put_u64(t);
                }
            }
            Frame::Probe(probe) => probe.put(b),
            Frame::Clause(c) => {
                b.put_u32(c.key);
                b.put_u32(c.statement);
                b.put_list(c.records.iter(), |b, r| r.put(b));
            }
            Frame::Firing(f) => {
                b.put_u32(f.probe);
                b.put_u32(f.clause);
                b.put_u32(f.cpu);
                b.put_option(f.flow, |b, flow| {
                    b.put_u8(flow.kind);
                    b.put_i32(flow.indent);
                    b.put_bytes(flow.prefix);
                });
                b.put_bytes(f.data);
                b.put_bytes(f.text);
                b.put_bytes(f.text_ends);
            }
            Frame::Aggregation(a) => {
                b.put_u32(a.key);
                b.put_u64(a.variable);
                b.put_str(&a.name);
                b.put_u16(a.function);
                b.put_u64(a.signature);
                b.put_u64(a.normal);
                b.put_list(a.keys.iter(), |b, r| r.put(b));
            }
            Frame::Entry(e) => {
                b.put_u32(e.aggregation);
                b.put_u64(e.generation);
                b.put_bytes(e.keys);
                b.put_bytes(e.value);
                b.put_bytes(e.per_cpu);
            }
            Frame::Symbol(s) => {
                b.put_u32(s.pid);
                b.put_u64(s.address);
                b.put_str(&s.text);
            }
            Frame::Drop(d) => d.put(b),
            Frame::Fault(fault) => fault.put(b),
            Frame::OptionChange(o) => o.put(b),
            Frame::Process(p) => p.put(b),
            Frame::Failure(f) => {
                b.put_u8(f.kind as u8);
                b.put_str(&f.attempt);
                b.put_i32(f.number);
                b.put_str(&f.message);
                b.put_option(f.script, |b, v| b.put_u32(v));
            }
            Frame::Exit(status) => b.put_i32(*status),
            Frame::CommandEnd(end) => {
                b.put_i32(end.status.into_raw());
                b.put_u64(u64::try_from(end.ran.as_nanos()).unwrap_or(u64::MAX));
            }
            Frame::Options(options) => b.put_list(options.iter(), |b, (name, value)| {
                b.put_str(name);
                b.put_option(*value, |b, v| b.put_u64(v));
            }),
            Frame::Listed(probe) => probe.put(b),
            Frame::Report(text) => b.put_bytes(text),
            Frame::Found(symbol) => b.put_option(symbol.as_ref(), |b, s| s.put(b)),
            Frame::FoundType(found) => b.put_option(found.as_ref(), |b, f| f.put(b)),
            Frame::SnapshotBegin | Frame::SnapshotEnd | Frame::End => {}
            Frame::PrintaBegin | Frame::CaughtUp => {}
        }
    }
}

impl<'a> Frame<'a> {
    /// Whether this version knows frames of `kind`; others are skipped.
    pub(crate) fn knows(kind: u8) -> bool {
        (1..=26).contains(&kind)
    }

    /// Decodes kind and payload.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Frame<'a>, Malformed> {
        let t = &mut Take::new(body);
        Ok(match t.u8("frame kind")? {
            1 => {
                if t.u32("magic")? != MAGIC {
                    return Err(Malformed::new("magic", "this is no DTrace stream"));
                }
                if t.u16("format version")? != FORMAT_VERSION {
                    return Err(Malformed::new("format version", "not one that this crate reads"));
                }
                Frame::Begin(SessionInfo::take(t)?)
            }
            2 => Frame::Program(ProgramInfo::take(t)?),
            3 => Frame::Started(StepTimes {
                load: t.u64("load time")?,
                open: t.u64("open time")?,
                compile: t.u64("compile time")?,
                enable: t.u64("enable time")?,
                go: t.u64("go time")?,
            }),
            4 => Frame::Probe(Probe::take(t)?),
            5 => Frame::Clause(ClauseFrame {
                key: t.u32("clause")?,
                statement: t.u32("statement")?,
                records: t.list("records", RecordDescription::take)?,
            }),
            6 => Frame::Firing(FiringFrame {
                probe: t.u32("probe")?,
                clause: t.u32("clause")?,
                cpu: t.u32("cpu")?,
                flow: t.option("flow", |t| {
                    Ok(FlowFrame {
                        kind: t.u8("flow kind")?,
                        indent: t.i32("indent")?,
                        prefix: t.bytes("prefix")?,
                    })
                })?,
                data: t.bytes("data")?,
                text: t.bytes("text")?,
                text_ends: t.bytes("text ends")?,
            }),
            7 => Frame::Aggregation(AggregationFrame {
                key: t.u32("aggregation")?,
                variable: t.u64("variable")?,
                name: t.string("aggregation name")?,
                function: t.u16("function")?,
                signature: t.u64("signature")?,
                normal: t.u64("normal")?,
                keys: t.list("keys", RecordDescription::take)?,
            }),
            8 => Frame::SnapshotBegin,
            9 => Frame::Entry(EntryFrame {
                aggregation: t.u32("aggregation")?,
                generation: t.u64("generation")?,
                keys: t.bytes("keys")?,
                value: t.bytes("value")?,
                per_cpu: t.bytes("values by CPU")?,
            }),
            10 => Frame::SnapshotEnd,
            11 => Frame::Symbol(SymbolFrame {
                pid: t.u32("pid")?,
                address: t.u64("address")?,
                text: t.string("symbol")?,
            }),
            12 => Frame::Drop(DropReport::take(t)?),
            13 => Frame::Fault(Fault::take(t)?),
            14 => Frame::OptionChange(OptionChange::take(t)?),
            15 => Frame::Process(ProcessEvent::take(t)?),
            16 => Frame::Failure(FailureFrame {
                kind: FailureKind::from_number(t.u8("failure kind")?)
                    .ok_or(Malformed::new("failure kind", "not one that this crate knows"))?,
                attempt: t.string("attempt")?,
                number: t.i32("number")?,
                message: t.string("message")?,
                script: t.option("script", |t| t.u32("script"))?,
            }),
            17 => Frame::Exit(t.i32("exit status")?),
            18 => Frame::End,
            19 => Frame::CommandEnd(CommandOutcome {
                status: ExitStatus::from_raw(t.i32("wait status")?),
                ran: Duration::from_nanos(t.u64("run time")?),
            }),
            20 => Frame::Options(t.list("options", |t| {
                Ok((t.string("option")?, t.option("value", |t| t.u64("value"))?))
            })?),
            21 => Frame::Listed(ListedProbe::take(t)?),
            22 => Frame::Report(t.bytes("report")?),
            23 => Frame::PrintaBegin,
            24 => Frame::Found(t.option("symbol", KernelSymbol::take)?),
            26 => Frame::CaughtUp,
            25 => Frame::FoundType(t.option("type", KernelType::take)?),
            _ => return Err(Malformed::new("frame kind", "not one that this crate knows")),
        })
    }
}
