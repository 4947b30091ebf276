//! What do rows, sorted walks and events of a replay deliver?

use crate::aggregation::{AggregationFunction, Mode, Order};
use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::session_info::{Admission, ByteOrder, Platform, ProgramInfo, SessionInfo};
use crate::error::Error;
use crate::session::WarningKind;
use crate::stream::frame::Frame;
use crate::stream::payload::{AggregationFrame, ClauseFrame, EntryFrame, FiringFrame, StepTimes};
use crate::value::MisfitPolicy;
use crate::{Event, Failure};

/// Records the frames, between the first and the last frame of a session.
fn recording<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let begin = Frame::Begin(SessionInfo {
        library_version: String::new(),
        library: String::new(),
        platform: Platform::Linux,
        kernel: String::new(),
        machine: String::new(),
        omitted_libraries: Vec::new(),
        byte_order: ByteOrder::OWN,
        admission: Admission::Known,
    });
    begin.encode(&mut bytes);
    frames.into_iter().for_each(|frame| frame.encode(&mut bytes));
    Frame::End.encode(&mut bytes);
    bytes
}

fn record(offset: u32, size: u32) -> RecordDescription {
    let (action, alignment) = (Action::Trace, 8);
    RecordDescription { action, offset, size, alignment, argument: 0, format: None }
}

fn probe(id: u32, function: &str, name: &str) -> Frame<'static> {
    let (provider, module) = ("syscall".to_owned(), "vmlinux".to_owned());
    Frame::Probe(Probe { id, provider, module, function: function.into(), name: name.into() })
}

fn clause(key: u32, records: Vec<RecordDescription>) -> Frame<'static> {
    Frame::Clause(ClauseFrame { key, statement: key, records })
}

fn firing(probe: u32, data: &[u8]) -> Frame<'_> {
    let (text, text_ends): (&[u8], &[u8]) = (b"", b"");
    Frame::Firing(FiringFrame { probe, clause: probe, cpu: 0, flow: None, data, text, text_ends })
}

/// One number of `openat`, two of `read`, and `openat` again.
fn calls() -> Vec<u8> {
    recording([
        probe(1, "openat", "entry"),
        clause(1, vec![record(0, 8)]),
        probe(2, "read", "entry"),
        clause(2, vec![record(0, 8), record(8, 8)]),
        firing(1, &[1; 8]),
        firing(2, &[2; 16]),
        firing(1, &[1; 8]),
        firing(2, &[2; 16]),
    ])
}

#[test]
fn each_closure_receives_the_rows_of_its_probes() {
    let (mut opens, mut reads, mut all) = (Vec::new(), Vec::new(), 0);
    crate::replay_from(&calls()[..])
        .rows_for("syscall::open*:entry", |number: u64| {
            opens.push(number);
            Ok(())
        })
        .rows_for("read:entry", |pair: (u64, u64)| {
            reads.push(pair);
            Ok(())
        })
        .rows_for("read:return", |_: u8| unreachable!("no such probe fires"))
        .rows(|_: Vec<u64>| {
            all += 1;
            Ok(())
        })
        .run()
        .unwrap();
    let (one, two) = (u64::from_ne_bytes([1; 8]), u64::from_ne_bytes([2; 8]));
    assert_eq!((opens, reads, all), (vec![one; 2], vec![(two, two); 2], 4));
}

#[test]
fn a_misfit_ends_the_session_unless_misfits_are_skipped() {
    let bytes = calls();
    let result = crate::replay_from(&bytes[..]).rows(|_: u64| Ok(())).run();
    let Err(Failure { error: Error::Row(error), outcome }) = result else { panic!("{result:?}") };
    assert_eq!(
        error.to_string(),
        "the row of syscall:vmlinux:read:entry does not fit its type: 2 values, expected one"
    );
    assert_eq!((outcome.firings, outcome.misfits), (2, 0));

    let mut taken = 0;
    let outcome = crate::replay_from(&bytes[..])
        .rows(|_: u64| {
            taken += 1;
            Ok(())
        })
        .misfits(MisfitPolicy::Skip)
        .run()
        .unwrap();
    assert_eq!((taken, outcome.misfits), (2, 2));
    // One for each clause.
    let [warning] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
    assert_eq!((warning.kind, warning.subject.as_str()), (WarningKind::Misfit, "rows"));
    assert!(warning.message.starts_with(&error.to_string()), "{warning}");
}

#[test]
fn warnings_about_misfits_count_towards_the_memory_limit() {
    let described = (1..1000).flat_map(|key| {
        [probe(key, "f", "entry"), clause(key, vec![record(0, 8)]), firing(key, &[0; 8])]
    });
    let bytes = recording(described);
    let replay = |limit| {
        let session = crate::replay_from(&bytes[..]).memory_limit(limit);
        session.misfits(MisfitPolicy::Skip).rows(|_: String| Ok(())).run()
    };
    let kept = replay(1 << 20).unwrap();
    assert_eq!((kept.misfits, kept.warnings.len()), (999, 999));
    // Enough for the descriptions alone.
    assert!(matches!(replay(420 << 10), Err(Failure { error: Error::Stream { .. }, .. })));
}

fn aggregation(key: u32, name: &str, function: AggregationFunction) -> Frame<'static> {
    Frame::Aggregation(AggregationFrame {
        key,
        variable: key.into(),
        name: name.to_owned(),
        function,
        signature: 0,
        normal: 1,
        keys: vec![record(8, 8)],
    })
}

/// A walk with the entries in the order of their totals, as libdtrace sorts them.
fn walk(mut entries: Vec<(u32, u64, i64)>) -> Vec<u8> {
    entries.sort_by_key(|(aggregation, _, value)| (*aggregation, *value));
    let mut bytes = Vec::new();
    Frame::SnapshotBegin.encode(&mut bytes);
    for (aggregation, key, value) in entries {
        let keys = key.to_ne_bytes();
        let value = &value.to_le_bytes();
        Frame::Entry(EntryFrame { aggregation, generation: 1, keys: &keys, value, per_cpu: &[] })
            .encode(&mut bytes);
    }
    Frame::SnapshotEnd.encode(&mut bytes);
    bytes
}

/// Two walks over `@a` and `@b`. In the second, differences have another order than totals.
fn walks() -> Vec<u8> {
    let sum = AggregationFunction::Sum;
    let mut bytes = recording([aggregation(1, "a", sum), aggregation(2, "b", sum)]);
    let mut end = Vec::new();
    Frame::End.encode(&mut end);
    bytes.truncate(bytes.len() - end.len());
    bytes.extend(walk(vec![(1, 10, 100), (1, 11, 50), (1, 12, 1), (2, 10, 7)]));
    bytes.extend(walk(vec![(1, 10, 101), (1, 11, 48), (1, 12, 9), (2, 10, 12), (2, 13, 1)]));
    bytes.extend(end);
    bytes
}

/// Returns the aggregation, key and number of the entries of the last walk.
fn delivered(mode: Mode, order: Option<Order>) -> Vec<(String, u64, i64)> {
    let (mut entries, mut complete) = (Vec::new(), Vec::new());
    let bytes = walks();
    let mut session = crate::replay_from(&bytes[..]).mode(mode);
    if let Some(order) = order {
        session = session.order(order);
    }
    let entries = std::cell::RefCell::new(&mut entries);
    session
        .walk(|entry| {
            let (name, key) = (entry.name().to_owned(), entry.key(0)?);
            entries.borrow_mut().push((name, key, entry.number()?));
            Ok(())
        })
        .walked(|| {
            complete = std::mem::take(&mut **entries.borrow_mut());
            Ok(())
        })
        .run()
        .unwrap();
    complete
}

#[test]
fn differences_are_sorted_by_what_is_delivered() {
    let named = |entries: &[(&str, u64, i64)]| -> Vec<(String, u64, i64)> {
        entries.iter().map(|(name, key, n)| ((*name).to_owned(), *key, *n)).collect()
    };
    let sorted = |order| delivered(Mode::Delta, Some(order));
    let by_value = [("a", 11, -2), ("a", 10, 1), ("a", 12, 8), ("b", 13, 1), ("b", 10, 5)];
    assert_eq!(sorted(Order::Value), named(&by_value));
    let mut reversed = by_value;
    reversed.reverse();
    assert_eq!(sorted(Order::ValueReversed), named(&reversed));
    // Equal values are sorted by key.
    let across = [("a", 11, -2), ("a", 10, 1), ("b", 13, 1), ("b", 10, 5), ("a", 12, 8)];
    assert_eq!(sorted(Order::ValueAcross), named(&across));
    let mut reversed = across;
    reversed.reverse();
    assert_eq!(sorted(Order::ValueAcrossReversed), named(&reversed));
    let by_key = [("a", 10, 1), ("a", 11, -2), ("a", 12, 8), ("b", 10, 5), ("b", 13, 1)];
    assert_eq!(sorted(Order::Key), named(&by_key));
    let by_key = [("a", 10, 1), ("b", 10, 5), ("a", 11, -2), ("a", 12, 8), ("b", 13, 1)];
    assert_eq!(sorted(Order::KeyAcross), named(&by_key));
    let mut reversed = by_key;
    reversed.reverse();
    assert_eq!(sorted(Order::KeyAcrossReversed), named(&reversed));
    // A recording keeps its order unless another one is asked for.
    let recorded = [("a", 12, 9), ("a", 11, 48), ("a", 10, 101), ("b", 13, 1), ("b", 10, 12)];
    assert_eq!(delivered(Mode::Cumulative, None), named(&recorded));
    let mut reversed = recorded;
    reversed.reverse();
    assert_eq!(delivered(Mode::Cumulative, Some(Order::ValueReversed)), named(&reversed));
}

#[test]
fn joined_differences_come_in_the_order_of_the_first_entries() {
    let mut rows = Vec::new();
    let bytes = walks();
    crate::replay_from(&bytes[..])
        .mode(Mode::Delta)
        .order(Order::ValueAcross)
        .walk_joined(["b", "a"], |row| {
            let values: Vec<_> =
                row.values().iter().map(|v| v.as_ref().and_then(|v| v.as_i64())).collect();
            rows.push((row.key::<u64>(0)?, values[0], values[1]));
            Ok(())
        })
        .run()
        .unwrap();
    let last =
        [(11, None, Some(-2)), (10, Some(5), Some(1)), (13, Some(1), None), (12, None, Some(8))];
    assert_eq!(rows[rows.len() - 4..], last);
}

#[test]
fn closures_for_an_aggregation_receive_its_entries_only() {
    let bytes = recording([
        aggregation(1, "named", AggregationFunction::Count),
        aggregation(2, "_", AggregationFunction::Count),
    ]);
    let mut end = Vec::new();
    Frame::End.encode(&mut end);
    let mut bytes = bytes[..bytes.len() - end.len()].to_vec();
    bytes.extend(walk(vec![(1, 10, 1), (2, 20, 2)]));
    bytes.extend(end);
    let (mut named, mut bare, mut anonymous) = (Vec::new(), Vec::new(), Vec::new());
    crate::replay_from(&bytes[..])
        .walk_rows_for("@named", |row: (u64, u64)| {
            named.push(row);
            Ok(())
        })
        .walk_rows_for("named", |row: (u64, u64)| {
            bare.push(row);
            Ok(())
        })
        .walk_rows_for("@", |row: (u64, u64)| {
            anonymous.push(row);
            Ok(())
        })
        .walk_rows_for("@other", |_: u8| unreachable!("there is no such aggregation"))
        .run()
        .unwrap();
    assert_eq!((named, bare, anonymous), (vec![(10, 1)], vec![(10, 1)], vec![(20, 2)]));
}

/// The first frames of a session whose only clause has this description.
fn started(provider: &str, function: &str, name: &str) -> Vec<u8> {
    let (module, details) = (String::new(), None);
    let (provider, function, name) = (provider.into(), function.into(), name.into());
    let probe = Probe { id: 0, provider, module, function, name };
    let clauses = vec![ListedProbe { probe, details }];
    recording([
        Frame::Program(ProgramInfo { matches: 1, clauses, ..ProgramInfo::default() }),
        Frame::Started(StepTimes::default()),
    ])
}

#[test]
fn a_description_that_matches_no_clause_is_a_warning() {
    let warnings = |clause: [&str; 3], description: &str| -> Vec<(WarningKind, String)> {
        let [provider, function, name] = clause;
        let bytes = started(provider, function, name);
        let outcome =
            crate::replay_from(&bytes[..]).rows_for(description, |_: u8| Ok(())).run().unwrap();
        outcome.warnings.into_iter().map(|w| (w.kind, w.to_string())).collect()
    };
    let openat = ["syscall", "open*", "entry"];
    for description in ["openat:entry", "syscall:::", "syscall::openat*:entry", "entry"] {
        assert_eq!(warnings(openat, description), [], "{description}");
    }
    assert_eq!(warnings(["pid$target", "main", "entry"], "pid$target::main:entry"), []);
    let kind = WarningKind::UnmatchedProbe;
    let unmatched = "rows_for(\"opneat:entry\"): it matches no clause of the script, so its closure is never called";
    assert_eq!(warnings(openat, "opneat:entry"), [(kind, unmatched.to_owned())]);
    let many = "rows_for(\"a:b:c:d:e\"): it has more than four parts, so it matches no probe";
    assert_eq!(warnings(openat, "a:b:c:d:e"), [(kind, many.to_owned())]);
}

/// A firing of `printf("pid=%d path=%s")`, and an entry of an aggregation.
fn items() -> Vec<u8> {
    let mut pid = record(0, 4);
    (pid.action, pid.format) = (Action::Printf, Some("pid=%d path=%s %d".to_owned()));
    let path = RecordDescription { action: Action::Printf, alignment: 1, ..record(4, 8) };
    let last = RecordDescription { action: Action::Printf, ..record(12, 4) };
    let frames = [
        probe(1, "openat", "entry"),
        clause(1, vec![pid, path, last]),
        firing(1, b"\x07\0\0\0\x04/a\nb\xff\xff\xff\xff"),
        aggregation(1, "calls", AggregationFunction::Sum),
    ];
    let mut end = Vec::new();
    Frame::End.encode(&mut end);
    let bytes = recording(frames);
    let mut bytes = bytes[..bytes.len() - end.len()].to_vec();
    bytes.extend(walk(vec![(1, 10, -3)]));
    bytes.extend(end);
    bytes
}

#[test]
fn items_look_the_same_borrowed_and_owned() {
    let (mut borrowed, mut json) = (Vec::new(), Vec::new());
    let bytes = items();
    let lines = std::cell::RefCell::new((&mut borrowed, &mut json));
    crate::replay_from(&bytes[..])
        .chew(|firing| {
            let mut lines = lines.borrow_mut();
            lines.0.push(firing.to_string());
            assert_eq!(firing.get::<i32>("pid")?, 7);
            lines.1.push(serde_json::to_value(firing)?);
            Ok(())
        })
        .walk(|entry| {
            let mut lines = lines.borrow_mut();
            lines.0.push(entry.to_string());
            lines.1.push(serde_json::to_value(entry)?);
            Ok(())
        })
        .run()
        .unwrap();
    let expected =
        [r"syscall:vmlinux:openat:entry: pid=7 path=/a\nb -1", "@calls[10]: -3"].map(str::to_owned);
    assert_eq!(borrowed, expected);

    let events: Vec<Event> =
        crate::replay_from(std::io::Cursor::new(bytes)).events(10).unwrap().collect();
    let [firing, entry, walked] = &events[..] else { panic!("{events:?}") };
    assert_eq!([firing.to_string(), entry.to_string()], expected);
    assert_eq!(serde_json::to_value(walked).unwrap(), serde_json::json!({ "event": "walked" }));
    for (event, (tag, json)) in
        [firing, entry].into_iter().zip(["firing", "aggregated"].into_iter().zip(json))
    {
        let mut tagged = json;
        tagged["event"] = tag.into();
        assert_eq!(serde_json::to_value(event).unwrap(), tagged);
    }
}

#[test]
fn a_value_of_an_event_is_found_by_position_and_by_name() {
    let events: Vec<Event> =
        crate::replay_from(std::io::Cursor::new(items())).events(10).unwrap().collect();
    let firing = events[0].as_firing().unwrap();
    assert_eq!((firing.get(0), firing.get("pid")), (Ok(7), Ok(7u8)));
    assert_eq!((firing.get(1), firing.get("path")), (Ok("/a\nb"), Ok("/a\nb".to_owned())));
    assert_eq!((firing.get(2), firing.name(2)), (Ok(-1i8), None));
    assert_eq!((firing.name(0), firing.action(0)), (Some("pid"), Some(Action::Printf)));
    for (error, text) in [
        (firing.get::<u8>(3), "expected a value, found none at 3"),
        (firing.get::<u8>("uid"), "expected a value, found none with the name `uid`"),
    ] {
        assert_eq!(error.unwrap_err().to_string(), text);
    }
    assert_eq!(firing.probe.to_string(), "syscall:vmlinux:openat:entry");
    assert_eq!(events[0].probe(), Some(&*firing.probe));
    assert!(events[1].as_firing().is_none() && events[1].as_aggregated().is_some());
}

#[test]
fn the_values_of_each_cpu_arrive_with_totals_and_not_with_differences() {
    let per_cpu = [3i64.to_le_bytes(), 4i64.to_le_bytes()].concat();
    let bytes = recording([
        aggregation(1, "calls", AggregationFunction::Sum),
        Frame::Entry(EntryFrame {
            aggregation: 1,
            generation: 1,
            keys: &[0; 8],
            value: &7i64.to_le_bytes(),
            per_cpu: &per_cpu,
        }),
        Frame::SnapshotEnd,
    ]);
    let values = |mode| -> Vec<(u32, Option<i64>)> {
        let session = crate::replay_from(std::io::Cursor::new(bytes.clone())).mode(mode);
        let events: Vec<Event> = session.events(10).unwrap().collect();
        let entry = events[0].as_aggregated().unwrap();
        entry.per_cpu.iter().map(|(cpu, value)| (*cpu, value.as_i64())).collect()
    };
    assert_eq!(values(Mode::Cumulative), [(0, Some(3)), (1, Some(4))]);
    assert_eq!(values(Mode::Delta), []);
}
