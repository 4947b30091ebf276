//! The functions that fuzzers and property tests call: decoders, and closures that read everything.
//!
//! Not part of the public interface.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::aggregation::{Mode, Order};
use crate::loss::LossPolicy;
use crate::recording::{Anonymise, Cut, RecordingInfo};
use crate::stream::frame::Frame;
#[cfg(feature = "live")]
use crate::stream::job::Command;
use crate::stream::reader::FrameReader;
use crate::value::{FromValue, Integer, MisfitPolicy, SymbolRef};
use crate::{Aggregated, Failure, Firing, Outcome, Output, Record, Value, ValueRef};

/// Decodes the body of a frame. What decodes must survive encoding and decoding.
pub fn frame(body: &[u8]) {
    let Ok(frame) = Frame::decode(body) else { return };
    let mut sent = Vec::new();
    frame.encode(&mut sent);
    let again = sent.get(4..).map(Frame::decode);
    assert_eq!(again, Some(Ok(frame)), "a frame changed in transit");
}

/// Decodes a message to the worker in the same way.
#[cfg(feature = "live")]
pub fn command(body: &[u8]) {
    let Ok(command) = Command::decode(body) else { return };
    let again = command.encode().get(4..).map(Command::decode);
    assert_eq!(again, Some(Ok(command)), "a command changed in transit");
}

/// Reads a stream in pieces of `piece` bytes. Returns the number of frames.
pub fn reader(bytes: &[u8], piece: usize, limit: usize) -> usize {
    let mut source = Pieces { bytes, piece: piece.max(1) };
    let mut reader = FrameReader::new(&mut source).with_limit(limit);
    let mut frames = 0;
    while let Ok(Some(_)) = reader.next() {
        frames += 1;
        assert!(reader.position() <= bytes.len() as u64, "read beyond the end of the stream");
    }
    frames
}

struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.piece.min(self.bytes.len());
        let n = std::io::Read::read(&mut &self.bytes[..n], buffer)?;
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

/// Replays a recording to closures that read everything. Calls `serialize` with every value.
///
/// # Errors
/// The same as those of [`crate::Session::run`].
pub fn replay(
    bytes: &[u8],
    mode: Mode,
    serialize: &dyn Fn(ValueRef<'_>),
) -> Result<Outcome, Failure> {
    // Differences are sorted here; totals arrive as recorded.
    let order = if mode == Mode::Delta { Order::ValueAcross } else { Order::Unsorted };
    let result = crate::replay_from(bytes)
        .mode(mode)
        .order(order)
        .misfits(MisfitPolicy::Skip)
        .rows_for("*:entry", |_: (u8, String)| Ok(()))
        .walk_rows(|_: BTreeMap<String, u8>| Ok(()))
        // Arbitrary losses would fill standard error.
        .losses(LossPolicy::Count)
        .chew(|firing| {
            look_at_firing(firing, serialize);
            Ok(())
        })
        .chewrec(|record| {
            look_at_record(record);
            Ok(())
        })
        .out(|output| {
            look_at_output(output);
            Ok(())
        })
        .walk(|entry| {
            look_at_entry(entry, serialize);
            Ok(())
        })
        .walk_joined(["a", "b", ""], |row| {
            row.keys().for_each(|key| look_at_value(key, serialize));
            let n = row.keys().len();
            assert!(row.key::<Value>(n).is_err(), "a key beyond the last");
            say(&row.values());
            Ok(())
        })
        .walked(|| Ok(()))
        .report(|text| {
            say(&text);
            Ok(())
        })
        .on_start(|outcome| {
            say(outcome);
            Ok(())
        })
        .on_option(|change| {
            say(change);
            Ok(())
        })
        .on_process(|event| {
            say(event);
            Ok(())
        })
        .on_drop(|report| {
            say(report);
            Ok(())
        })
        .on_fault(|fault| {
            say(fault);
            Ok(())
        })
        .run();
    match &result {
        Ok(outcome) => look_at_outcome(outcome),
        Err(failure) => {
            say(failure);
            let _ = failure.to_string();
            look_at_outcome(&failure.outcome);
        }
    }
    result
}

/// Describes, cuts and anonymises a recording. What is made of a whole one must be a whole one.
pub fn changed(bytes: &[u8], skip: u8) {
    let cut = Cut::new().probe("*:entry").probe("BEGIN").skip(skip.into());
    let (mut part, mut public) = (Vec::new(), Vec::new());
    let results = [
        cut.apply(bytes, &mut part).is_ok().then_some(part),
        Anonymise::new().hide("a").apply(bytes, &mut public).is_ok().then_some(public),
    ];
    for made in results.into_iter().flatten() {
        let info = RecordingInfo::read(&made[..]).expect("a recording");
        assert!(info.damage.is_none(), "{:?}", info.damage);
    }
    if let Ok(info) = RecordingInfo::read(bytes) {
        say(&info);
    }
}

fn say(value: &dyn std::fmt::Debug) {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(text, "{value:?}");
}

fn look_at_outcome(outcome: &Outcome) {
    say(outcome);
    let losses = &outcome.losses;
    let _ = (losses.total_drops(), losses.total_faults(), losses.to_string(), losses.is_empty());
    for (kind, ..) in losses.drops() {
        let _ = (losses.dropped(kind), kind.to_string());
    }
}

fn look_at_value(value: ValueRef<'_>, serialize: &dyn Fn(ValueRef<'_>)) {
    say(&value);
    let _ = (value.kind(), value.to_string(), value.to_owned() == value.to_owned());
    serialize(value);
    match value {
        ValueRef::Stack(stack) => {
            let _ = stack.pid();
            stack.frames().for_each(look_at_symbol);
        }
        ValueRef::Symbol(symbol) => look_at_symbol(symbol),
        _ => {}
    }
    macro_rules! get {
        ($($type:ty),*) => {$( let _ = <$type>::from_value(value).map_err(|e| e.to_string()); )*};
    }
    get!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, Integer, Value);
    get!(String, Vec<u8>, &str, &[u8], std::borrow::Cow<'_, str>);
}

fn look_at_symbol(symbol: SymbolRef<'_>) {
    let _ = (symbol.address(), symbol.pid(), symbol.module(), symbol.symbol(), symbol.offset());
    let _ = (symbol.to_string(), symbol.demangled());
    say(&symbol);
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only deserialized")]
struct Fields {
    number: u32,
    text: String,
    bytes: Vec<u8>,
    last: Option<i8>,
}

#[derive(Debug, Deserialize)]
struct Wrapped(#[allow(dead_code, reason = "only deserialized")] i64);

#[derive(Debug, Deserialize)]
enum State {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "only deserialized")]
enum Either {
    Named { pid: i32, path: String },
    Pair(u64, String),
    Any(BTreeMap<String, Option<i64>>),
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only deserialized")]
struct Flattened {
    first: Option<u8>,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

macro_rules! rows {
    ($from:expr) => {
        rows!($from; Fields, Wrapped, State, (u64, String), (i32, [u8; 8], f64), (char, bool), u8,
            i64, String, Vec<u8>, Vec<String>, Vec<IgnoredAny>, Vec<Option<u64>>, IgnoredAny, (),
            Option<u16>, BTreeMap<String, u64>, (Vec<String>, State), (Wrapped, Fields),
            Either, Flattened)
    };
    ($from:expr; $($type:ty),*) => {$(
        match $from.row::<$type>() {
            Ok(row) => say(&row),
            Err(error) => {
                let _ = (error.to_string(), error.position(), error.field());
                assert!(error.origin().is_some(), "a row from nowhere");
            }
        }
    )*};
}

fn look_at_firing(firing: &Firing<'_>, serialize: &dyn Fn(ValueRef<'_>)) {
    say(firing);
    let line = firing.to_string();
    assert!(line.starts_with(&firing.probe().to_string()), "{line}");
    let _ = (firing.get::<Value>(0), firing.get::<Value>("pid"));
    let _ = (firing.probe().to_string(), firing.cpu(), firing.statement(), firing.flow());
    let records = firing.records();
    let n = records.len();
    assert_eq!(records.count(), n, "the number of records is not their length");
    assert!(firing.record(n).is_none(), "a record beyond the last");
    firing.records().for_each(|record| look_at_value(record.value(), serialize));
    let _ = firing.values().count();
    let printed: usize = firing.output().map(|output| output.bytes().len()).sum();
    assert!(printed <= firing.text().len(), "records printed more than the firing's text");
    rows!(firing);
}

fn look_at_record(record: &Record<'_>) {
    say(&record.value());
    let _ = (record.firing().cpu(), record.index(), record.action(), record.description());
    let _ = (record.get::<i64>(), record.get::<String>());
    record.aggregated().for_each(|entry| look_at_entry(&entry, &|_| ()));
    let size = record.description().size as usize;
    assert!(
        matches!(record.bytes().len(), 0) || record.bytes().len() == size,
        "a truncated record"
    );
}

fn look_at_output(output: &Output<'_>) {
    say(&output.text());
    let _ = (output.firing().cpu(), output.probe(), output.action(), output.to_string());
    assert!(!output.bytes().is_empty(), "empty output");
}

fn look_at_entry(entry: &Aggregated<'_>, serialize: &dyn Fn(ValueRef<'_>)) {
    say(entry);
    assert!(entry.to_string().starts_with('@'), "an entry without its name");
    let _ = (entry.name(), entry.variable(), entry.function(), entry.normal(), entry.number());
    entry.keys().for_each(|key| look_at_value(key, serialize));
    let n = entry.keys().len();
    assert!(entry.key::<Value>(n).is_err(), "a key beyond the last");
    rows!(entry);
    entry.per_cpu().for_each(|value| say(&value));
    let value = entry.value();
    let _ = (value.function(), value.normal(), value.as_i64(), value.render(), value.rank());
    let mut sum = value.clone();
    let _ = sum.merge(value);
    let _ = sum.subtract(value);
    use crate::aggregation::AggregationValue as V;
    match value {
        V::Count(n) | V::Sum(n) => say(&(n.get(), n.raw(), n.as_f64(), n.as_printed())),
        V::Min(e) | V::Max(e) => say(&(e.get(), e.seen(), e.scalar())),
        V::Avg(a) => say(&(a.mean(), a.mean_f64(), a.count(), a.sum())),
        V::Stddev(d) => say(&(d.deviation(), d.mean_f64(), d.deviation_f64())),
        V::Quantize(d) | V::LQuantize(d) | V::LLQuantize(d) => {
            say(&(d.total(), d.bounds(), d.is_empty(), d.buckets().rev().count()));
            for percent in [0.0, 50.0, 99.9, 100.0, f64::NAN] {
                say(&d.percentile(percent));
            }
            for number in [i64::MIN, -1, 0, 1, i64::MAX] {
                assert!(d.bucket_of(number).is_some(), "no bucket for {number}");
            }
            say(&d.counted().collect::<Vec<_>>());
        }
    }
}
