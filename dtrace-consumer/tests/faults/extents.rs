//! Everything that libdtrace hands over may be as short as it says, and no byte longer.
//!
//! The stand-in allocates to the byte, so AddressSanitizer sees each read beyond an end. The right data prove
//! that nothing is left out either.

use std::process::Command;

use dtrace_consumer::query::{ProbeQuery, TypeQuery};
use dtrace_consumer::{Error, Failure, trace};
use dtrace_stand_in::plan::{Entry, Event, Firing, Plan, Record, Value};
use dtrace_sys::abi::*;
use dtrace_test_support::harness;

use crate::stage::*;

/// Returns the text of every entry, and of its value on each CPU.
fn entries(prefix: &Prefix, plan: &Plan) -> Vec<(String, Vec<String>)> {
    plan.put(&prefix.path);
    let mut seen = Vec::new();
    let result = trace("BEGIN { @a[1] = count(); }")
        .prefix(&prefix.path)
        .walk(|entry| {
            let cpus = entry.per_cpu().map(|(cpu, value)| format!("{cpu}:{}", value.render()));
            seen.push((entry.value().render().to_string(), cpus.collect()));
            Ok(())
        })
        .run();
    result.unwrap_or_else(|failure| panic!("{plan:?}: {failure}"));
    seen
}

pub(crate) fn values_by_cpu_are_read_as_far_as_their_list_reaches() {
    let prefix = Prefix::new();
    let configured = Command::new("getconf").arg("_NPROCESSORS_CONF").output();
    let configured = configured.expect("getconf(1) is there").stdout;
    let configured: u64 = String::from_utf8_lossy(&configured).trim().parse().expect("a number");
    for cpus in [1, 2, 3, 17] {
        let plan = Plan { entries: vec![entry(1, 10)], cpus: Some(cpus), ..Plan::default() };
        let seen = entries(&prefix, &plan);
        let number = if SUN { configured } else { cpus.into() };
        let [(_, by_cpu)] = &seen[..] else { panic!("{seen:?}") };
        let trimmed: Vec<_> = by_cpu.iter().map(|value| value.replace(['\n', ' '], "")).collect();
        let expected: Vec<_> = (0..number).map(|cpu| format!("{cpu}:{}", 10 + cpu)).collect();
        assert_eq!(trimmed, expected, "{cpus} CPUs");
    }
    // Without the option there are none.
    let seen = entries(&prefix, &Plan { entries: vec![entry(1, 10)], ..Plan::default() });
    assert!(seen.iter().all(|(_, by_cpu)| by_cpu.is_empty()), "{seen:?}");
}

/// Elsewhere the number of configured CPUs is the length of every list.
pub(crate) fn a_list_by_cpu_of_unknown_length_is_not_read() {
    if SUN {
        harness::ignore("these structures are of systems where the length is always known");
    }
    let prefix = Prefix::new();
    let plan = Plan { entries: vec![entry(1, 10)], cpus: Some(2), ..Plan::default() };
    Plan { lists_are_of_unknown_length: true, ..plan }.put(&prefix.path);
    let session = trace("BEGIN { @a[1] = count(); }").prefix(&prefix.path);
    let mut entries = 0;
    let result = session
        .walk(|_| {
            entries += 1;
            Ok(())
        })
        .run();
    let error = result.expect_err("it cannot be read").error;
    assert!(matches!(error, Error::Libdtrace { .. }), "{error:?}");
    assert!(error.to_string().contains("a list by CPU of unknown length"), "{error}");
    assert_eq!(entries, 0);
}

/// Without this, a lane in which nothing is sanitized would look the same as one in which nothing is wrong.
pub(crate) fn the_sanitizer_sees_a_read_beyond_an_end() {
    // `.ci/faults` sets it.
    if std::env::var_os("ASAN_OPTIONS").is_none() {
        harness::ignore("AddressSanitizer is not there; `.ci/faults` runs this test");
    }
    let prefix = Prefix::new();
    // Which CPUs have values is trusted of libdtrace.
    let entries = vec![entry(1, 10)];
    Plan { entries, cpus: Some(2), lists_are_short: true, ..Plan::default() }.put(&prefix.path);
    let session = trace("BEGIN { @a[1] = count(); }").prefix(&prefix.path).walk(|_| Ok(()));
    match session.run() {
        Err(Failure { error: Error::WorkerDied { last_words, .. }, .. }) => {
            let is_seen = last_words.contains("AddressSanitizer: heap-buffer-overflow");
            assert!(is_seen, "{last_words}");
        }
        other => panic!("nothing saw it: {other:?}"),
    }
}

pub(crate) fn values_of_every_size_are_read_to_their_end() {
    let prefix = Prefix::new();
    // From 0 to 3 in steps of 1: three counts, and one at either end. Elsewhere the parameters are in the value.
    let steps = 1 << 48 | 3 << 32;
    let functions = [
        (DTRACEAGG_COUNT, 0, 1),
        (DTRACEAGG_SUM, 0, 1),
        (DTRACEAGG_MIN, 0, 1),
        (DTRACEAGG_MAX, 0, 1),
        (DTRACEAGG_AVG, 0, 2),
        (DTRACEAGG_STDDEV, 0, 4),
        (DTRACEAGG_QUANTIZE, 0, 127),
        (DTRACEAGG_LQUANTIZE, steps, 5),
    ];
    for (function, signature, number) in functions {
        let mut words: Vec<u64> = (1..=number).collect();
        if SUN && signature != 0 {
            words.insert(0, signature);
        }
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let value = Value { function, signature, bytes };
        let one = Entry { other: Some(value), ..entry(1, 0) };
        let plan = Plan { entries: vec![one], cpus: Some(1), ..Plan::default() };
        let seen = entries(&prefix, &plan);
        let [(whole, by_cpu)] = &seen[..] else { panic!("function {function:#x}: {seen:?}") };
        // On the first CPU it is the same.
        assert_eq!(by_cpu.first(), Some(&format!("0:{whole}")), "function {function:#x}");
    }
}

pub(crate) fn records_of_every_kind_end_with_their_data() {
    let prefix = Prefix::new();
    let stack = |depth: u64| (0..depth).flat_map(|n| (n + 1).to_ne_bytes()).collect::<Vec<u8>>();
    let of_process = [77u64.to_ne_bytes().to_vec(), stack(2)].concat();
    let string = b"no NUL at its end".to_vec();
    for (action, argument, data) in [
        (1, 4, string),
        (1, 4, Vec::new()),
        (1, 1, vec![1]),
        (1, 1, vec![1, 2, 3]),
        (1, 1, vec![1; 16]),
        (2, 0, vec![0; 4]),
        (3, 0, vec![5; 8]),
        (6, 0, vec![5; 7]),
        (8, 0, vec![5; 9]),
        (0x401, 2, stack(2)),
        (0x401, 2, vec![1; 7]),
        (0x101, 2, of_process.clone()),
        (0x101, 2, of_process[..20].to_vec()),
        (0x402, 0, vec![1; 8]),
        (0x403, 0, vec![1; 3]),
        (0x103, 0, vec![1; 16]),
        (0x104, 0, vec![1; 15]),
        (0x105, 0, vec![1; 4]),
    ] {
        let size = u32::try_from(data.len()).expect("few data");
        let records = vec![Record { argument, ..record(action, 0, size) }];
        // Its records are not at the end of the list of another clause.
        let statement = 100;
        let firing = Firing { statement, records, data, ..Firing::default() };
        Plan { rounds: vec![vec![Event::Firing(firing.clone())]], ..Plan::default() }
            .put(&prefix.path);
        let mut seen = Vec::new();
        let result = trace("BEGIN { }")
            .prefix(&prefix.path)
            .chew(|firing| {
                seen.push(firing.values().map(|value| format!("{value:?}")).collect::<String>());
                Ok(())
            })
            .run();
        result.unwrap_or_else(|failure| panic!("{firing:?}: {failure}"));
        assert_eq!(seen.len(), 1, "{firing:?}");
    }
}

pub(crate) fn texts_of_every_length_arrive() {
    let prefix = Prefix::new();
    for length in [0, 1, 254, 255, 256, 257, 511, 512, 513, 1023, 1024, 5000] {
        let text = "x".repeat(length);
        let with_format = Record { format: Some(text.clone()), ..record(3, 0, 0) };
        let symbol = record(0x402, 0, 8);
        let firing = Firing {
            statement: 1,
            records: vec![with_format, symbol],
            data: vec![1; 8],
            prefix: Some(text.clone()),
            oddity: None,
        };
        Plan {
            rounds: vec![vec![Event::Firing(firing)]],
            name: Some(text.clone()),
            arguments: Some(3),
            ..Plan::default()
        }
        .put(&prefix.path);
        let (mut formats, mut symbols) = (Vec::new(), Vec::new());
        let result = trace("BEGIN { }")
            .prefix(&prefix.path)
            .chew(|firing| {
                let prefix = firing.flow().map(|flow| flow.prefix.to_owned());
                assert_eq!(prefix.as_deref(), Some(&text[..]), "the prefix of {length} bytes");
                formats.extend(firing.records().filter_map(|r| r.description().format.clone()));
                symbols.extend(firing.values().last().map(|value| value.to_string()));
                Ok(())
            })
            .run();
        result.unwrap_or_else(|failure| panic!("{length} bytes: {failure}"));
        assert_eq!(formats, [text.as_str()], "a format of {length} bytes");
        // A buffer of 1024 bytes has room for the rest.
        let expected = &text[..length.min(1023)];
        assert!(length == 0 || symbols == [expected], "a symbol of {length} bytes: {symbols:?}");
        let listed = ProbeQuery::new().prefix(&prefix.path).pattern("stand:::").describe().list();
        let listed = listed.expect("nothing goes wrong");
        let arguments = listed.iter().filter_map(|probe| probe.details.as_ref());
        assert!(arguments.clone().all(|details| details.arguments.len() == 3));
        assert_eq!(arguments.count(), 3);
        let named = TypeQuery::new().prefix(&prefix.path).name("int").look_up();
        named.expect("nothing goes wrong");
    }
}
