//! Whatever a stream contains, in whatever order, handlers see it or it is refused. Nothing panics.

use proptest::prelude::*;

use crate::data::aggregation::{AggregationFunction, Mode};
use crate::data::outcome::Outcome;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::session_info::{Admission, ByteOrder, Platform, SessionInfo};
use crate::error::Error;
use crate::fuzzing;
use crate::stream::frame::Frame;
use crate::stream::payload::{AggregationFrame, ClauseFrame, EntryFrame, FiringFrame};
use crate::stream::strategies;
use crate::{Failure, ValueRef};

mod packed;

fn json(value: ValueRef<'_>) {
    let text = serde_json::to_string(&value).expect("serializing a value");
    let _: serde_json::Value = serde_json::from_str(&text).expect("parsing the JSON");
}

fn session() -> SessionInfo {
    SessionInfo {
        library_version: String::new(),
        library: String::new(),
        platform: Platform::Linux,
        kernel: String::new(),
        machine: String::new(),
        omitted_libraries: Vec::new(),
        byte_order: ByteOrder::OWN,
        admission: Admission::Known,
    }
}

/// Records the frames, between the first and the last frame of a session.
fn recording<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Begin(session()).encode(&mut bytes);
    frames.into_iter().for_each(|frame| frame.encode(&mut bytes));
    Frame::End.encode(&mut bytes);
    bytes
}

fn replay<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> Result<Outcome, Failure> {
    fuzzing::replay(&recording(frames), Mode::Cumulative, &json)
}

/// Fails if a closure panicked: the panic can only be the crate's own.
fn did_not_panic(result: Result<Outcome, Failure>) -> Result<(), TestCaseError> {
    match result.map_err(|failure| failure.error) {
        Err(Error::Panicked { closure, message }) => {
            Err(TestCaseError::fail(format!("{closure}: {message}")))
        }
        _ => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn handlers_may_look_at_everything_whatever_the_frames_say(
        samples in strategies::frames(),
        delta in any::<bool>(),
    ) {
        let mode = if delta { Mode::Delta } else { Mode::Cumulative };
        let bytes = recording(samples.iter().map(|sample| sample.frame()));
        did_not_panic(fuzzing::replay(&bytes, mode, &json))?;
        let described = samples.iter().filter(|sample| {
            // These end a replay with other errors.
            !matches!(
                sample.frame(),
                Frame::Failure(_)
                    | Frame::SessionFailed(_)
                    | Frame::Contents(_)
                    | Frame::End
                    | Frame::Begin(_)
            )
        });
        let mut kept: Vec<_> = described.collect();
        // An error ends a replay, so remove each refused frame until the replay passes.
        while let Err(failure) = replay(kept.iter().map(|sample| sample.frame())) {
            let Error::Stream { position, .. } = failure.error else {
                return Err(TestCaseError::fail(failure.to_string()));
            };
            let mut start = 0;
            let mut frame_at = |sample: &strategies::Sample| {
                let mut bytes = Vec::new();
                sample.frame().encode(&mut bytes);
                start += bytes.len() as u64;
                start
            };
            let mut begin = Vec::new();
            Frame::Begin(session()).encode(&mut begin);
            let index = kept
                .iter()
                .position(|sample| begin.len() as u64 + frame_at(sample) > position);
            let index = index.expect("the position of a frame");
            kept.remove(index);
        }
    }
}

fn probe() -> Frame<'static> {
    let part = String::new;
    Frame::Probe(Probe { id: 1, provider: part(), module: part(), function: part(), name: part() })
}

fn record(action: Action, offset: u32, size: u32) -> RecordDescription {
    RecordDescription { action, offset, size, alignment: 8, argument: 0, format: None }
}

fn clause(records: Vec<RecordDescription>) -> Frame<'static> {
    Frame::Clause(ClauseFrame { key: 1, statement: 1, records })
}

fn firing<'a>(data: &'a [u8], text: &'a [u8], text_ends: &'a [u8]) -> Frame<'a> {
    Frame::Firing(FiringFrame { probe: 1, clause: 1, cpu: 0, flow: None, data, text, text_ends })
}

fn outputs(text: &[u8], ends: &[(u32, u32)]) -> Vec<String> {
    let ends: Vec<u8> =
        ends.iter().flat_map(|(r, end)| [r.to_le_bytes(), end.to_le_bytes()].concat()).collect();
    let frames = [probe(), clause(vec![record(Action::Trace, 0, 8)]), firing(&[0; 8], text, &ends)];
    assert!(replay(frames.clone()).is_ok());
    let mut seen = Vec::new();
    crate::replay_from(&recording(frames)[..])
        .out(|output| {
            seen.push(output.to_string());
            Ok(())
        })
        .run()
        .unwrap();
    seen
}

#[test]
fn output_whose_end_lies_outside_of_the_text_is_left_out() {
    assert_eq!(outputs(b"onetwo", &[(0, 3), (0, 6)]), ["one", "two"]);
    assert_eq!(outputs(b"onetwo", &[(0, 3), (0, u32::MAX), (0, 6)]), ["one", "two"]);
    assert_eq!(outputs(b"onetwo", &[(0, 3), (0, 2), (0, 6)]), ["one", "two"]);
    assert_eq!(outputs(b"", &[(0, 1), (7, 0), (0, 0)]), [""; 0]);
    assert_eq!(outputs(b"one", &[(u32::MAX, 3)]), ["one"]);
}

fn aggregation(function: AggregationFunction, signature: u64, normal: u64) -> Frame<'static> {
    Frame::Aggregation(AggregationFrame {
        key: 1,
        variable: 1,
        name: "a".to_owned(),
        function,
        signature,
        normal,
        keys: vec![record(Action::Trace, 0, 8)],
    })
}

fn entry(value: &[u8]) -> Frame<'_> {
    Frame::Entry(EntryFrame { aggregation: 1, generation: 0, keys: &[0; 8], value, per_cpu: &[] })
}

/// Returns the field that a replay of the frames reports as damaged.
fn damaged<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> &'static str {
    match replay(frames).map_err(|failure| failure.error) {
        Err(Error::Stream { cause, .. }) => cause.field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn aggregation_values_of_a_wrong_size_are_refused() {
    let lquantize = 1u64 << 48 | 5 << 32;
    let sizes = [8, 8, 8, 8, 16, 32, 1016, 56];
    for (function, size) in AggregationFunction::ALL.into_iter().zip(sizes) {
        let right = vec![1; size];
        assert!(
            replay([aggregation(function, lquantize, 1), entry(&right)]).is_ok(),
            "{function:?}"
        );
        for wrong in [0, 1, 7, size - 1, size + 1, size + 8] {
            let value = vec![1; wrong];
            let field = damaged([aggregation(function, lquantize, 1), entry(&value)]);
            assert_eq!(field, "aggregation value", "{function:?} {wrong}");
        }
    }
}

#[test]
fn what_is_not_described_or_makes_no_sense_is_refused() {
    let (count, llquantize) = (AggregationFunction::Count, AggregationFunction::LLQuantize);
    assert_eq!(damaged([aggregation(count, 0, 0), entry(&[0; 8])]), "aggregation value");
    assert_eq!(damaged([aggregation(llquantize, 0, 1), entry(&[0; 8])]), "aggregation value");
    assert_eq!(damaged([entry(&[0; 8])]), "aggregation");
    assert_eq!(damaged([firing(b"", b"", b"")]), "firing");
    assert_eq!(damaged([probe(), firing(b"", b"", b"")]), "firing");
}

#[test]
fn an_unknown_aggregating_function_is_refused() {
    let mut bytes = recording([aggregation(AggregationFunction::Count, 0, 1)]);
    // Kind, key, variable and the name "a" precede it.
    let frame = bytes.len()
        - encoded([Frame::End])[0].len()
        - encoded([aggregation(AggregationFunction::Count, 0, 1)])[0].len();
    bytes[frame + 4 + 1 + 4 + 8 + 4 + 1] = 99;
    let failure = crate::replay_from(&bytes[..]).run().unwrap_err();
    let Error::Stream { cause, .. } = failure.error else { panic!("{failure:?}") };
    assert_eq!(cause.field, "function");
}

#[test]
fn the_last_of_several_descriptions_holds() {
    let one = clause(vec![record(Action::Trace, 0, 8)]);
    let two = clause(vec![record(Action::Trace, 0, 1), record(Action::Trace, 1, 1)]);
    let frames = [probe(), one.clone(), probe(), two, firing(&[3; 2], b"", b"")];
    let mut row = None;
    let bytes = recording(frames);
    crate::replay_from(&bytes[..])
        .rows(|values: (u8, u8)| {
            row = Some(values);
            Ok(())
        })
        .run()
        .unwrap();
    assert_eq!(row, Some((3, 3)));
}

/// Returns the frames of a round, encoded.
type Say = fn(u32) -> Vec<Vec<u8>>;

/// A stream that repeats the same frames, each time with another number.
struct Endless {
    say: Say,
    n: u32,
    rest: std::collections::VecDeque<u8>,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.len() < buffer.len() {
            self.n += 1;
            self.rest.extend((self.say)(self.n).concat());
        }
        std::io::Read::read(&mut self.rest, buffer)
    }
}

fn encoded(frames: impl IntoIterator<Item = Frame<'static>>) -> Vec<Vec<u8>> {
    let encode = |frame: Frame<'_>| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes
    };
    frames.into_iter().map(encode).collect()
}

#[test]
fn a_stream_that_never_ends_describing_is_refused_at_the_memory_limit() {
    use crate::data::loss::{DropKind, DropReport, Fault};
    use crate::data::session_info::{OptionChange, ProcessEvent};
    use crate::stream::payload::SymbolFrame;

    fn named(n: u32) -> Probe {
        let (module, function, name) = (String::new(), n.to_string(), String::new());
        Probe { id: n, provider: "p".to_owned(), module, function, name }
    }
    fn keyed(n: u32) -> Frame<'static> {
        let keys: &'static [u8] = match n % 4 {
            0 => &[0; 8],
            1 => &[1; 8],
            2 => &[2; 8],
            _ => &[3; 8],
        };
        Frame::Entry(EntryFrame {
            aggregation: 1,
            generation: 0,
            keys,
            value: &[0; 8],
            per_cpu: &[],
        })
    }
    let says: [(&str, Say); 9] = [
        ("probes", |n| encoded([Frame::Probe(named(n))])),
        ("clauses", |n| {
            let records = vec![record(Action::Trace, 0, 8)];
            encoded([Frame::Clause(ClauseFrame { key: n, statement: 1, records })])
        }),
        ("aggregations", |n| {
            encoded([Frame::Aggregation(AggregationFrame {
                key: n,
                variable: 1,
                name: "a".to_owned(),
                function: AggregationFunction::Count,
                signature: 0,
                normal: 1,
                keys: Vec::new(),
            })])
        }),
        ("symbols", |n| {
            encoded([Frame::Symbol(SymbolFrame {
                pid: 0,
                address: u64::from(n),
                text: "m`f".to_owned(),
            })])
        }),
        ("options", |n| {
            encoded([Frame::OptionChange(OptionChange {
                name: n.to_string(),
                old: None,
                new: None,
            })])
        }),
        ("processes", |n| {
            encoded([Frame::Process(ProcessEvent {
                pid: n.cast_signed(),
                gone: true,
                message: None,
            })])
        }),
        ("drops", |n| {
            encoded([Frame::Drop(DropReport {
                kind: DropKind::Principal,
                cpu: Some(n),
                drops: 1,
                total: 1,
                message: String::new(),
            })])
        }),
        ("faults", |n| {
            encoded([Frame::Fault(Fault {
                probe: Some(named(n)),
                cpu: 0,
                kind: String::new(),
                code: 0,
                address: 0,
                action: 0,
                offset: 0,
                message: String::new(),
            })])
        }),
        ("entries of printa()", |n| {
            encoded([aggregation(AggregationFunction::Count, 0, 1), Frame::PrintaBegin, keyed(n)])
        }),
    ];
    for (what, say) in says {
        let mut rest = std::collections::VecDeque::new();
        rest.extend(encoded([Frame::Begin(session())]).concat());
        let result = crate::replay_from(Endless { say, n: 0, rest }).memory_limit(1 << 16).run();
        let Err(Failure { error: Error::Stream { position, cause, .. }, .. }) = result else {
            panic!("{what}: {result:?}")
        };
        assert_eq!(
            (cause.field, cause.reason),
            ("descriptions", "exceed the memory limit"),
            "{what}"
        );
        assert!(position < 1 << 16, "{what}: only at {position}");
    }
}

#[test]
fn entries_that_are_kept_for_a_walk_count_towards_the_memory_limit() {
    fn entries(n: u32) -> Vec<Vec<u8>> {
        let keys = [n.to_ne_bytes(), n.to_ne_bytes()].concat();
        let entry =
            EntryFrame { aggregation: 1, generation: 0, keys: &keys, value: &[1; 8], per_cpu: &[] };
        let mut bytes = Vec::new();
        Frame::Entry(entry).encode(&mut bytes);
        vec![bytes]
    }
    let endless = || {
        let mut rest = std::collections::VecDeque::new();
        rest.extend(
            encoded([Frame::Begin(session()), aggregation(AggregationFunction::Count, 0, 1)])
                .concat(),
        );
        Endless { say: entries, n: 0, rest }
    };
    let delta = crate::replay_from(endless()).memory_limit(1 << 16).mode(Mode::Delta).run();
    let joined =
        crate::replay_from(endless()).memory_limit(1 << 16).walk_joined(["a"], |_| Ok(())).run();
    for result in [delta, joined] {
        let Err(Failure { error: Error::Stream { cause, .. }, .. }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(cause.reason, "exceed the memory limit");
    }
}

#[test]
fn entries_that_a_firing_has_printed_are_forgotten() {
    let printed = [Frame::PrintaBegin, entry(&[0; 8]), Frame::SnapshotEnd, firing(&[], b"", b"")];
    let many = std::iter::repeat_n(printed, 1000).flatten();
    let described = [probe(), clause(Vec::new()), aggregation(AggregationFunction::Count, 0, 1)];
    let bytes = recording(described.into_iter().chain(many));
    crate::replay_from(&bytes[..]).memory_limit(1 << 12).chew(|_| Ok(())).run().unwrap();
}

#[test]
fn records_that_overlap_are_refused() {
    let overlapping = |n| clause(vec![record(Action::Trace, 0, 64); n]);
    assert_eq!(damaged([probe(), overlapping(5)]), "records");
    let nested: Vec<_> = (0..100).map(|n| record(Action::Trace, n, 200 - n)).collect();
    assert_eq!(damaged([clause(nested)]), "records");
    // Records without data may be anywhere, and some may share the place of the next one.
    assert!(replay([probe(), overlapping(4)]).is_ok());
    assert!(replay([clause(vec![record(Action::Trace, 0, 0); 100])]).is_ok());
    let apart: Vec<_> = (0..100).map(|n| record(Action::Trace, 8 * n, 8)).collect();
    assert!(replay([clause(apart)]).is_ok());
}

#[test]
fn a_probe_with_more_arguments_than_any_has_is_refused() {
    use crate::data::listing::{Attributes, ListedProbe, MOST_ARGUMENTS, ProbeDetails};

    let listed = |n| {
        let details = ProbeDetails {
            stability: Attributes::default(),
            argument_stability: Attributes::default(),
            arguments: vec![None; n],
        };
        let mut bytes = Vec::new();
        let Frame::Probe(probe) = probe() else { unreachable!("it is one") };
        Frame::Listed(ListedProbe { probe, details: Some(details) }).encode(&mut bytes);
        Frame::decode(&bytes[4..]).map(|_| ())
    };
    assert!(listed(MOST_ARGUMENTS).is_ok());
    assert_eq!(listed(MOST_ARGUMENTS + 1).unwrap_err().field, "arguments");
    assert_eq!(listed(1 << 20).unwrap_err().field, "arguments");
}
