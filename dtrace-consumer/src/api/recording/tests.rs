//! Is a hostile or unusual recording changed without harm, and without disclosing anything?

mod failures;

use super::anonymise::Anonymise;
use super::cut::Cut;
use super::info::RecordingInfo;
use crate::api::frames::{Frames, Input};
use crate::data::aggregation::AggregationFunction;
use crate::data::loss::Fault;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::recording::{Compression, Edit};
use crate::data::session_info::{Admission, ByteOrder, Platform, SessionInfo};
use crate::data::warning::{Warning, WarningKind};
use crate::error::Error;
use crate::stream::frame::Frame;
use crate::stream::packed::UNPACKED_LIMIT;
use crate::stream::payload::{AggregationFrame, ClauseFrame, EntryFrame, FiringFrame};
use crate::stream::reader::FRAME_LIMIT;

fn begin() -> Frame<'static> {
    Frame::Begin(SessionInfo {
        platform: Platform::Linux,
        byte_order: ByteOrder::OWN,
        library_version: "2.0.7".to_owned(),
        library: String::new(),
        kernel: String::new(),
        machine: String::new(),
        omitted_libraries: Vec::new(),
        admission: Admission::Known,
    })
}

/// Returns a whole recording with these frames.
fn recording(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    begin().encode(&mut bytes);
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    Frame::End.encode(&mut bytes);
    bytes
}

fn record(action: Action, offset: u32, size: u32, alignment: u16) -> RecordDescription {
    RecordDescription { action, offset, size, alignment, argument: 0, format: None }
}

fn probe(id: u32) -> Probe {
    let part = || format!("part{id}");
    Probe { id, provider: "part".to_owned(), module: part(), function: part(), name: part() }
}

fn firing(data: &[u8]) -> FiringFrame<'_> {
    FiringFrame { probe: 1, clause: 1, cpu: 0, flow: None, data, text: &[], text_ends: &[] }
}

fn entry(value: &[u8]) -> EntryFrame<'_> {
    EntryFrame { aggregation: 1, generation: 0, keys: &[], value, per_cpu: &[] }
}

fn anonymised(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut target = Vec::new();
    let anonymise = Anonymise::new().compression(Compression::None);
    anonymise.apply(bytes, &mut target).map(|_| target)
}

/// Anonymises a firing with a printf of two numbers and a pid. Returns the new format and the values.
fn printed(format: &str) -> (String, [u32; 3]) {
    let mut records: Vec<_> = (0..3).map(|n| record(Action::Printf, 4 * n, 4, 4)).collect();
    records[0].format = Some(format.to_owned());
    let data = [7u32, 8, 4242].map(u32::to_ne_bytes).concat();
    let bytes = recording(&[
        Frame::Probe(probe(1)),
        Frame::Clause(ClauseFrame { key: 1, statement: 1, records }),
        Frame::Firing(firing(&data)),
    ]);
    let target = anonymised(&bytes).expect("a recording");
    let mut frames = Frames::of(&target[..]).expect("a recording");
    let (mut format, mut values) = (String::new(), [0; 3]);
    while let Some((frame, _)) = frames.next(0).expect("a whole recording") {
        match frame {
            Frame::Clause(clause) => format = clause.records[0].format.clone().expect("a format"),
            Frame::Firing(firing) => {
                let (words, _) = firing.data.as_chunks();
                let words: Vec<u32> = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
                values.copy_from_slice(&words);
            }
            _ => {}
        }
    }
    (format, values)
}

#[test]
fn conversions_of_a_format_stay_and_values_are_renamed_by_their_recorded_names() {
    for (format, expected) in [
        ("%d/%d: pid=%d", "%d/%d: pid=%d"),
        ("%u/%x pid=%d", "%u/%x pid=%d"),
        ("%-8d.%d:%d pid=%%", "%-8d.%d:%d pid=%%"),
        ("/etc/x %d/%d 10.0.0.1 pid=%d", "/path1 %d/%d host1 pid=%d"),
        ("%d%%/%d pid: %d /a/b", "%d%%/%d pid: %d /path1"),
        ("%d %d etc/pid=%d", "%d %d path1=%d"),
    ] {
        let (format, values) = printed(format);
        assert_eq!(format, expected);
        let last = if format.contains("%%") && format.ends_with("%%") { 4242 } else { 1 };
        assert_eq!(values, [7, 8, last], "{format}");
    }
}

/// Returns a recording of one firing and one entry whose records, and keys, are these.
fn with_records(records: &[RecordDescription]) -> [Vec<u8>; 2] {
    let clause = ClauseFrame { key: 1, statement: 1, records: records.to_vec() };
    let aggregation = AggregationFrame {
        key: 1,
        variable: 1,
        name: "a".to_owned(),
        function: AggregationFunction::Count,
        signature: 0,
        normal: 1,
        keys: records.to_vec(),
    };
    [
        recording(&[Frame::Probe(probe(1)), Frame::Clause(clause), Frame::Firing(firing(&[]))]),
        recording(&[
            Frame::Aggregation(aggregation),
            Frame::SnapshotBegin,
            Frame::Entry(entry(&[])),
        ]),
    ]
}

#[test]
fn records_that_a_replay_refuses_are_not_anonymised() {
    let overlapping = vec![record(Action::Trace, 0, 256, 1); 100];
    let large = vec![record(Action::Trace, UNPACKED_LIMIT as u32, 256, 1)];
    let far = vec![record(Action::Trace, u32::MAX, u32::MAX, 1)];
    for (records, reason) in [(overlapping, "overlap"), (large, "exceed"), (far, "exceed")] {
        for bytes in with_records(&records) {
            let error = anonymised(&bytes).unwrap_err();
            // At the description, before anything refers to it.
            let Error::Stream { cause, .. } = &error else { panic!("{error}") };
            assert!(cause.field == "records" && cause.reason.contains(reason), "{error}");
            let replayed = crate::replay_from(&bytes[..]).run().unwrap_err().error;
            assert_eq!(replayed.to_string(), error.to_string());
        }
    }
}

#[test]
fn what_is_kept_of_a_recording_is_limited() {
    let text = "x".repeat(1000);
    let warning = || Frame::Warning(Warning::new(WarningKind::Other, &text[..], ""));
    let edit = || Frame::Edited(Edit { what: text.clone(), details: text.clone() });
    let fault = |n| {
        Frame::Fault(Fault {
            probe: Some(probe(n)),
            cpu: 0,
            kind: String::new(),
            code: 0,
            address: 0,
            action: 0,
            offset: 0,
            message: String::new(),
        })
    };
    let recordings = [
        ("warnings", (0..100).map(|_| warning()).collect::<Vec<_>>()),
        ("edits", (0..100).map(|_| edit()).collect()),
        ("losses", (0..1000).map(fault).collect()),
        (
            "printed",
            [Frame::PrintaBegin]
                .into_iter()
                .chain((0..100).map(|_| Frame::Entry(entry(text.as_bytes()))))
                .collect(),
        ),
    ];
    for (what, frames) in recordings {
        let bytes = recording(&frames);
        let frames = |limit| {
            let frames = Frames::new(&bytes[..], Input::Reader, FRAME_LIMIT);
            frames.expect("a recording").within(limit)
        };
        let is_damaged = |limit| match what {
            "printed" => Cut::new().cut(frames(limit), Vec::new()).is_err(),
            _ => RecordingInfo::of(frames(limit)).damage.is_some(),
        };
        assert!(is_damaged(50_000), "{what}");
        assert!(!is_damaged(1 << 20), "{what}");
    }
    let paths: Vec<String> = (0..1000).map(|n| format!("/{text}/{n}")).collect();
    let edits: Vec<_> = paths
        .iter()
        .map(|path| Frame::Edited(Edit { what: String::new(), details: path.clone() }))
        .collect();
    let bytes = recording(&edits);
    for (limit, is_whole) in [(50_000, false), (2 << 20, true)] {
        let frames = Frames::new(&bytes[..], Input::Reader, FRAME_LIMIT).expect("a recording");
        let result = Anonymise::new().anonymise(frames.within(limit), Vec::new());
        assert_eq!(result.is_ok(), is_whole, "{result:?}");
    }
}
