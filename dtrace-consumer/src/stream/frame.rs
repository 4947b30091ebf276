//! The frames of a stream and their contents.
//!
//! A frame is `u32 length, u8 kind, payload` (the length counts kind and payload). A stream begins
//! with [`Frame::Begin`], which carries the format's version. Probes, clauses, aggregations and symbols have
//! numbers; a stream describes each once, before the first frame that refers to it. Within a version, fields
//! are only appended to a payload. A reader ignores unknown fields at the end and skips unknown kinds.

use super::contents::{ContentsFrame, SessionFailure};
use super::payload::{
    AggregationFrame, ClauseFrame, EntryFrame, FailureFrame, FiringFrame, StepTimes, SymbolFrame,
};
use super::wire::{Malformed, Put, Take, Wire};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::KernelType;
use crate::data::listing::ListedProbe;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::CommandOutcome;
use crate::data::probe::Probe;
use crate::data::recording::{Edit, Origin};
use crate::data::session_info::{OptionChange, ProcessEvent, ProgramInfo, SessionInfo};
use crate::data::warning::Warning;

/// The version of the stream format that this crate writes.
pub(crate) const FORMAT_VERSION: u16 = 2;

const MAGIC: u32 = u32::from_le_bytes(*b"DTrS");

/// The kind of [`Frame::Firing`].
pub(crate) const FIRING: u8 = 6;

/// Bytes at the start of the first frame's body that every version of the format has: kind, magic, version.
pub(crate) const PREAMBLE: usize = 7;

/// Returns the version in the body of a stream's first frame; `None` if it is not a first frame.
pub(crate) fn format_version(body: &[u8]) -> Option<u16> {
    let t = &mut Take::new(body);
    let begins = t.u8("frame kind") == Ok(1) && t.u32("magic") == Ok(MAGIC);
    begins.then(|| t.u16("format version").ok()).flatten()
}

/// Returns whether `body` is a prefix of a stream's first frame.
pub(crate) fn may_begin(body: &[u8]) -> bool {
    let beginning = [&[1][..], &MAGIC.to_le_bytes()].concat();
    body.iter().zip(&beginning).all(|(a, b)| a == b)
}

/// All frames of a stream.
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
    /// The values of the requested options when tracing begins.
    Options(Vec<(String, Option<u64>)>),
    /// A probe of a listing.
    Listed(ListedProbe),
    /// The text that dtrace(1) would print of the aggregations at the end.
    Report(&'a [u8]),
    /// The following entries, up to the next end of a snapshot, are those that a `printa()` of the next
    /// firing printed.
    PrintaBegin,
    /// The answer to one query for a symbol; `None` if it does not exist.
    Found(Option<KernelSymbol>),
    /// The answer to one query for a type; `None` if it does not exist.
    FoundType(Option<KernelType>),
    /// The answer to [`Command::CatchUp`](super::job::Command::CatchUp): everything recorded up to the
    /// request has been delivered, and its addresses are described.
    CaughtUp,
    /// Something cannot be done as it was asked for.
    Warning(Warning),
    /// What the session was asked for, and thus what the stream can hold.
    Contents(ContentsFrame),
    /// Why the session failed, if the worker could not report it. The consumer adds this to a recording.
    SessionFailed(SessionFailure),
    /// The worker has had nothing else to send for a while.
    Alive,
    /// Which program made a recording, and when. The consumer adds this to a recording.
    Origin(Origin),
    /// A change that was made to a recording.
    Edited(Edit),
    /// When the frames that follow arrived, in nanoseconds of the monotonic clock. The consumer adds this to a
    /// recording.
    Arrived(u64),
}

/// Appends the frame of a firing, as [`Frame::encode`] does.
#[cfg(feature = "live")]
#[inline]
pub(crate) fn encode_firing(firing: &FiringFrame<'_>, b: &mut Vec<u8>) {
    in_envelope(b, FIRING, |b| firing.put(b));
}

#[inline]
fn in_envelope(b: &mut Vec<u8>, kind: u8, put: impl FnOnce(&mut Vec<u8>)) {
    let start = b.len();
    b.extend_from_slice(&[0, 0, 0, 0, kind]);
    put(b);
    let length = u32::try_from(b.len() - start - 4).unwrap_or(u32::MAX);
    b[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

impl Frame<'_> {
    fn kind(&self) -> u8 {
        match self {
            Frame::Begin(_) => 1,
            Frame::Program(_) => 2,
            Frame::Started(_) => 3,
            Frame::Probe(_) => 4,
            Frame::Clause(_) => 5,
            Frame::Firing(_) => FIRING,
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
            Frame::Warning(_) => 27,
            Frame::Contents(_) => 28,
            Frame::SessionFailed(_) => 29,
            Frame::Alive => 30,
            Frame::Origin(_) => 31,
            Frame::Edited(_) => 32,
            Frame::Arrived(_) => 33,
        }
    }

    /// Appends the whole frame, envelope included.
    pub(crate) fn encode(&self, b: &mut Vec<u8>) {
        in_envelope(b, self.kind(), |b| self.put(b));
    }

    fn put(&self, b: &mut Vec<u8>) {
        match self {
            Frame::Begin(info) => {
                b.put_u32(MAGIC);
                b.put_u16(FORMAT_VERSION);
                info.put(b);
            }
            Frame::Program(info) => info.put(b),
            Frame::Started(times) => times.put(b),
            Frame::Probe(probe) => probe.put(b),
            Frame::Clause(clause) => clause.put(b),
            Frame::Firing(firing) => firing.put(b),
            Frame::Aggregation(aggregation) => aggregation.put(b),
            Frame::Entry(entry) => entry.put(b),
            Frame::Symbol(symbol) => symbol.put(b),
            Frame::Drop(report) => report.put(b),
            Frame::Fault(fault) => fault.put(b),
            Frame::OptionChange(change) => change.put(b),
            Frame::Process(event) => event.put(b),
            Frame::Failure(failure) => failure.put(b),
            Frame::Exit(status) => b.put_i32(*status),
            Frame::CommandEnd(end) => end.put(b),
            Frame::Options(options) => b.put_list(options.iter(), |b, (name, value)| {
                b.put_str(name);
                b.put_option(*value, |b, v| b.put_u64(v));
            }),
            Frame::Listed(probe) => probe.put(b),
            Frame::Report(text) => b.put_bytes(text),
            Frame::Found(symbol) => b.put_option(symbol.as_ref(), |b, s| s.put(b)),
            Frame::Warning(warning) => warning.put(b),
            Frame::Contents(contents) => contents.put(b),
            Frame::SessionFailed(failure) => failure.put(b),
            Frame::Origin(origin) => origin.put(b),
            Frame::Edited(edit) => edit.put(b),
            Frame::Arrived(time) => b.put_u64(*time),
            Frame::FoundType(found) => b.put_option(found.as_ref(), |b, f| f.put(b)),
            Frame::SnapshotBegin | Frame::SnapshotEnd | Frame::End => {}
            Frame::PrintaBegin | Frame::CaughtUp | Frame::Alive => {}
        }
    }
}

impl<'a> Frame<'a> {
    /// Returns whether this version knows frames of `kind`. Readers skip the others.
    pub(crate) fn knows(kind: u8) -> bool {
        (1..=33).contains(&kind)
    }

    /// Decodes kind and payload.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Frame<'a>, Malformed> {
        let t = &mut Take::new(body);
        Ok(match t.u8("frame kind")? {
            1 => {
                if t.u32("magic")? != MAGIC {
                    return Err(Malformed::new("magic", "not a DTrace stream"));
                }
                if t.u16("format version")? != FORMAT_VERSION {
                    return Err(Malformed::new("format version", "unsupported by this version"));
                }
                Frame::Begin(SessionInfo::take(t)?)
            }
            2 => Frame::Program(ProgramInfo::take(t)?),
            3 => Frame::Started(StepTimes::take(t)?),
            4 => Frame::Probe(Probe::take(t)?),
            5 => Frame::Clause(ClauseFrame::take(t)?),
            FIRING => Frame::Firing(FiringFrame::take(t)?),
            7 => Frame::Aggregation(AggregationFrame::take(t)?),
            8 => Frame::SnapshotBegin,
            9 => Frame::Entry(EntryFrame::take(t)?),
            10 => Frame::SnapshotEnd,
            11 => Frame::Symbol(SymbolFrame::take(t)?),
            12 => Frame::Drop(DropReport::take(t)?),
            13 => Frame::Fault(Fault::take(t)?),
            14 => Frame::OptionChange(OptionChange::take(t)?),
            15 => Frame::Process(ProcessEvent::take(t)?),
            16 => Frame::Failure(FailureFrame::take(t)?),
            17 => Frame::Exit(t.i32("exit status")?),
            18 => Frame::End,
            19 => Frame::CommandEnd(CommandOutcome::take(t)?),
            20 => Frame::Options(t.list("options", |t| {
                Ok((t.string("option")?, t.option("value", |t| t.u64("value"))?))
            })?),
            21 => Frame::Listed(ListedProbe::take(t)?),
            22 => Frame::Report(t.bytes("report")?),
            23 => Frame::PrintaBegin,
            24 => Frame::Found(t.option("symbol", KernelSymbol::take)?),
            25 => Frame::FoundType(t.option("type", KernelType::take)?),
            26 => Frame::CaughtUp,
            27 => Frame::Warning(Warning::take(t)?),
            28 => Frame::Contents(ContentsFrame::take(t)?),
            29 => Frame::SessionFailed(SessionFailure::take(t)?),
            30 => Frame::Alive,
            31 => Frame::Origin(Origin::take(t)?),
            32 => Frame::Edited(Edit::take(t)?),
            33 => Frame::Arrived(t.u64("time of arrival")?),
            _ => return Err(Malformed::new("frame kind", "unknown to this version")),
        })
    }
}
