//! The payloads of frames that describe, deliver, or report failures.

use super::wire::{self, Malformed, Put, Take, Wire};
use crate::data::aggregation::AggregationFunction;
use crate::data::record::RecordDescription;

/// The layout of a clause's records in the data of its firings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClauseFrame {
    /// The number by which firings refer to the clause.
    pub(crate) key: u32,
    /// libdtrace's number of the statement.
    pub(crate) statement: u32,
    pub(crate) records: Vec<RecordDescription>,
}

/// The layout of an aggregation's keys and value in its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AggregationFrame {
    pub(crate) key: u32,
    /// libdtrace's number of the aggregation variable.
    pub(crate) variable: u64,
    pub(crate) name: String,
    pub(crate) function: AggregationFunction,
    /// The parameters of lquantize and llquantize, in the platform's encoding.
    pub(crate) signature: u64,
    /// The divisor set by `normalize()`; 1 if there is none.
    pub(crate) normal: u64,
    pub(crate) keys: Vec<RecordDescription>,
}

/// One key of an aggregation with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryFrame<'a> {
    pub(crate) aggregation: u32,
    /// A number that changes whenever the script clears the aggregation.
    pub(crate) generation: u64,
    /// Packed in a stream, and in their places when they are delivered.
    pub(crate) keys: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The value on each CPU in turn, each as long as `value`. Empty unless requested.
    pub(crate) per_cpu: &'a [u8],
}

/// The bits of a firing's parts that need not be there.
const HAS_FLOW: u8 = 1;
const HAS_TEXT: u8 = 2;

/// One firing of one clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FiringFrame<'a> {
    pub(crate) probe: u32,
    pub(crate) clause: u32,
    pub(crate) cpu: u32,
    pub(crate) flow: Option<FlowFrame<'a>>,
    /// The records: packed in a stream, and in their places when they are delivered.
    pub(crate) data: &'a [u8],
    /// The text of all records together.
    pub(crate) text: &'a [u8],
    /// `u32 record, u32 end` for each record that printed: its number, and where its text ends within `text`.
    pub(crate) text_ends: &'a [u8],
}

impl FiringFrame<'_> {
    /// Appends to `text_ends` where the text of a record ends.
    #[cfg(feature = "live")]
    pub(crate) fn end_text(text_ends: &mut Vec<u8>, record: u32, end: usize) {
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        text_ends.extend_from_slice(&record.to_le_bytes());
        text_ends.extend_from_slice(&end.to_le_bytes());
    }
}

/// Flow indentation, as libdtrace computes it when `flowindent` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowFrame<'a> {
    /// 0 entry, 1 return, 2 neither.
    pub(crate) kind: u8,
    pub(crate) indent: i32,
    pub(crate) prefix: &'a [u8],
}

/// The symbol at an address. The worker resolves it where it traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SymbolFrame {
    /// The process, or 0 for the kernel.
    pub(crate) pid: u32,
    pub(crate) address: u64,
    /// Text such as `module`function+0x1f`.
    pub(crate) text: String,
}

/// A step that failed, with libdtrace's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailureFrame {
    pub(crate) kind: FailureKind,
    /// What was attempted: the name of libdtrace's function, or a description of the worker's step.
    pub(crate) attempt: String,
    /// libdtrace's error number or errno; 0 if there is none.
    pub(crate) number: i32,
    pub(crate) message: String,
    /// The position of the script that failed.
    pub(crate) script: Option<u32>,
    /// The D libraries that were left out although that script needs them.
    pub(crate) needed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The library failed to load, or its version is unsupported.
    Load = 1,
    /// An option was refused. `attempt` is its name.
    Option = 2,
    /// A script did not compile.
    Compile = 3,
    /// A D library did not compile. `attempt` is its file.
    Library = 4,
    /// A process was not grabbed. `number` is errno.
    Process = 5,
    /// Any other call into libdtrace failed.
    Call = 6,
    /// The system refused something that libdtrace or the worker needs (mounts, channel).
    Surroundings = 7,
    /// A worker that serves another user refuses a request. `attempt` names what it refuses.
    Refused = 8,
    /// libdtrace has started tracing, but `BEGIN` did not fire, so that no probe ever will.
    NotBegun = 9,
    /// A worker that serves another user found no verdict on a library whose version is not known. `attempt` is the
    /// library.
    NotVerified = 10,
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
            K::NotBegun,
            K::NotVerified,
        ]
        .get(usize::from(n).checked_sub(1)?)
        .copied()
    }
}

/// The duration of a session's steps in the worker, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepTimes {
    pub(crate) load: u64,
    pub(crate) open: u64,
    pub(crate) compile: u64,
    pub(crate) enable: u64,
    pub(crate) go: u64,
}

impl Wire<'_> for ClauseFrame {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.key);
        b.put_u32(self.statement);
        b.put_list(self.records.iter(), |b, r| r.put(b));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(ClauseFrame {
            key: t.u32("clause")?,
            statement: t.u32("statement")?,
            records: t.list("records", RecordDescription::take)?,
        })
    }
}

impl Wire<'_> for AggregationFrame {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.key);
        b.put_u64(self.variable);
        b.put_str(&self.name);
        b.put_u16(self.function.number());
        b.put_u64(self.signature);
        b.put_u64(self.normal);
        b.put_list(self.keys.iter(), |b, r| r.put(b));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(AggregationFrame {
            key: t.u32("aggregation")?,
            variable: t.u64("variable")?,
            name: t.string("aggregation name")?,
            function: AggregationFunction::from_number(t.u16("function")?)
                .ok_or(Malformed::new("function", "unknown to this version"))?,
            signature: t.u64("signature")?,
            normal: t.u64("normal")?,
            keys: t.list("keys", RecordDescription::take)?,
        })
    }
}

impl<'a> Wire<'a> for EntryFrame<'a> {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.aggregation);
        b.put_u64(self.generation);
        b.put_bytes(self.keys);
        b.put_bytes(self.value);
        b.put_bytes(self.per_cpu);
    }

    fn take(t: &mut Take<'a>) -> Result<Self, Malformed> {
        Ok(EntryFrame {
            aggregation: t.u32("aggregation")?,
            generation: t.u64("generation")?,
            keys: t.bytes("keys")?,
            value: t.bytes("value")?,
            per_cpu: t.bytes("values by CPU")?,
        })
    }
}

impl<'a> Wire<'a> for FiringFrame<'a> {
    #[inline]
    fn put(&self, b: &mut Vec<u8>) {
        let has_text = !(self.text.is_empty() && self.text_ends.is_empty());
        let flow = if self.flow.is_some() { HAS_FLOW } else { 0 };
        let parts = flow | if has_text { HAS_TEXT } else { 0 };
        // One append: this is done for each firing.
        let mut head = [0; 17];
        head[..4].copy_from_slice(&self.probe.to_le_bytes());
        head[4..8].copy_from_slice(&self.clause.to_le_bytes());
        head[8..12].copy_from_slice(&self.cpu.to_le_bytes());
        head[12] = parts;
        head[13..].copy_from_slice(&wire::length(self.data.len()).to_le_bytes());
        b.extend_from_slice(&head);
        b.extend_from_slice(self.data);
        if let Some(flow) = self.flow {
            b.put_u8(flow.kind);
            b.put_i32(flow.indent);
            b.put_bytes(flow.prefix);
        }
        if has_text {
            b.put_bytes(self.text);
            b.put_bytes(self.text_ends);
        }
    }

    #[inline]
    fn take(t: &mut Take<'a>) -> Result<Self, Malformed> {
        // At once: this is done for each firing.
        let [probe, clause, cpu] = t.words("probe, clause and cpu of a firing")?;
        let parts = t.u8("parts of a firing")?;
        if parts > HAS_FLOW | HAS_TEXT {
            return Err(Malformed::new("parts of a firing", "unknown to this version"));
        }
        let data = t.bytes("data")?;
        let mut firing =
            FiringFrame { probe, clause, cpu, flow: None, data, text: &[], text_ends: &[] };
        if parts & HAS_FLOW != 0 {
            firing.flow = Some(FlowFrame {
                kind: t.u8("flow kind")?,
                indent: t.i32("indent")?,
                prefix: t.bytes("prefix")?,
            });
        }
        if parts & HAS_TEXT != 0 {
            firing.text = t.bytes("text")?;
            firing.text_ends = t.bytes("text ends")?;
        }
        Ok(firing)
    }
}

impl Wire<'_> for SymbolFrame {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.pid);
        b.put_u64(self.address);
        b.put_str(&self.text);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(SymbolFrame {
            pid: t.u32("pid")?,
            address: t.u64("address")?,
            text: t.string("symbol")?,
        })
    }
}

impl Wire<'_> for FailureFrame {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u8(self.kind as u8);
        b.put_str(&self.attempt);
        b.put_i32(self.number);
        b.put_str(&self.message);
        b.put_option(self.script, |b, v| b.put_u32(v));
        b.put_list(self.needed.iter(), |b, library| b.put_str(library));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(FailureFrame {
            kind: FailureKind::from_number(t.u8("failure kind")?)
                .ok_or(Malformed::new("failure kind", "unknown to this version"))?,
            attempt: t.string("attempt")?,
            number: t.i32("number")?,
            message: t.string("message")?,
            script: t.option("script", |t| t.u32("script"))?,
            needed: t.list("needed libraries", |t| t.string("needed library"))?,
        })
    }
}

impl Wire<'_> for StepTimes {
    fn put(&self, b: &mut Vec<u8>) {
        for t in [self.load, self.open, self.compile, self.enable, self.go] {
            b.put_u64(t);
        }
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(StepTimes {
            load: t.u64("load time")?,
            open: t.u64("open time")?,
            compile: t.u64("compile time")?,
            enable: t.u64("enable time")?,
            go: t.u64("go time")?,
        })
    }
}
