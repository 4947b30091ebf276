//! A session with the stand-in, and what it delivers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use dtrace_consumer::loss::LossPolicy;
use dtrace_consumer::{Failure, Outcome, replay, run_synchronous};
use dtrace_stand_in::plan::{Entry, Event, Firing, Plan, Record};
use dtrace_test_support::Missing;
use dtrace_test_support::leftovers::{Guard, alone};
use dtrace_test_support::prefix::put_stand_in;
use parking_lot::MutexGuard;

/// Whether the stand-in, and what is tested, has the structures of the other platforms than Linux.
pub(crate) const SUN: bool =
    cfg!(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"));

/// A prefix with the stand-in in it.
pub(crate) struct Prefix {
    pub(crate) path: PathBuf,
    pub(crate) guard: Option<Guard>,
    pub(crate) _alone: MutexGuard<'static, ()>,
}

impl Prefix {
    pub(crate) fn new() -> Prefix {
        let (alone, guard) = alone();
        Prefix { path: directory(), guard: Some(guard), _alone: alone }
    }
}

/// Lays out a prefix.
pub(crate) fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("stand-in-{}-{number}", std::process::id()));
    put_stand_in(&path);
    path
}

/// A session gets to libdtrace only where this machine can trace.
pub(crate) fn the_stand_in_can_be_loaded() -> Result<(), Missing> {
    let prefix = directory();
    let preflight = dtrace_consumer::preflight(Some(&prefix));
    std::fs::remove_dir_all(&prefix).expect("the prefix can be removed");
    Missing::of(&preflight)
}

impl Drop for Prefix {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).expect("the prefix can be removed");
        if !std::thread::panicking()
            && let Some(guard) = self.guard.take()
        {
            guard.check();
        }
    }
}

pub(crate) fn record(action: u16, offset: u32, size: u32) -> Record {
    Record { action, offset, size, alignment: 4, ..Record::default() }
}

/// A firing that records a number.
pub(crate) fn number(n: i32) -> Firing {
    Firing {
        statement: 1,
        records: vec![Record { argument: 1, ..record(1, 0, 4) }],
        data: n.to_ne_bytes().to_vec(),
        ..Firing::default()
    }
}

/// A firing with everything that makes the worker ask the library something.
pub(crate) fn everything() -> Firing {
    let with_format = |format: &str, r: Record| Record { format: Some(format.to_owned()), ..r };
    Firing {
        statement: 2,
        records: vec![
            with_format("said %d\n", record(3, 0, 4)),
            record(0x402, 8, 8),
            record(0x103, 16, 16),
            with_format("a command", record(0x203, 32, 0)),
            with_format("printed", record(4, 32, 8)),
        ],
        data: [
            &5u64.to_ne_bytes()[..],
            &4096u64.to_ne_bytes(),
            &77u64.to_ne_bytes(),
            &4096u64.to_ne_bytes(),
            &1u64.to_ne_bytes(),
        ]
        .concat(),
        ..Firing::default()
    }
}

pub(crate) fn plain_plan() -> Plan {
    let drop = Event::Drop { kind: 0, drops: 3, missing: false };
    let fault = Event::Fault { probe: true, missing: false };
    Plan {
        rounds: vec![
            vec![Event::Firing(number(7)), Event::Firing(everything()), drop, fault],
            vec![Event::Option { missing: false }, Event::Firing(number(8))],
        ],
        entries: vec![entry(1, 10), entry(2, 20)],
        ..Plan::default()
    }
}

pub(crate) fn entry(key: i32, value: u64) -> Entry {
    Entry { key, value, ..Entry::default() }
}

/// What the closures of a session have seen.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) numbers: Vec<i32>,
    pub(crate) text: String,
    pub(crate) entries: Vec<(i32, i64)>,
    pub(crate) drops: u64,
    pub(crate) faults: u64,
}

pub(crate) fn everything_seen() -> Seen {
    Seen {
        numbers: vec![7, 8],
        text: ".said %d\n..a commandprinted.".to_owned(),
        entries: vec![(1, 10), (2, 20)],
        drops: 3,
        faults: 1,
    }
}

/// The file in the prefix that a session is recorded to.
const RECORDING: &str = "recording";

/// A session around a command, with every kind of closure. It is recorded.
pub(crate) fn session(prefix: &Path) -> (Seen, Result<Outcome, Failure>) {
    let _ = std::fs::remove_file(prefix.join(RECORDING));
    let mut seen = Seen::default();
    let (mut numbers, mut text, mut entries) = (Vec::new(), String::new(), Vec::new());
    let result = run_synchronous("BEGIN { trace(execname); }", ["true"])
        .prefix(prefix)
        .option("bufsize", "4m")
        .read_option("bufsize")
        .printed_entries()
        .record(prefix.join(RECORDING))
        .keep_system()
        .chew(|firing| {
            if firing.records().len() == 1 {
                numbers.push(firing.row()?);
            }
            Ok(())
        })
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .walk(|entry| {
            entries.push((entry.key(0)?, entry.number()?));
            Ok(())
        })
        .report(|_| Ok(()))
        .run();
    (seen.numbers, seen.text, seen.entries) = (numbers, text, entries);
    let losses = match &result {
        Ok(outcome) => &outcome.losses,
        Err(failure) => &failure.outcome.losses,
    };
    (seen.drops, seen.faults) = (losses.total_drops(), losses.total_faults());
    (seen, result)
}

/// Fails unless a replay of the session's recording comes to the same, if the session got so far as to record.
pub(crate) fn replays_alike(prefix: &Path, result: &Result<Outcome, Failure>) {
    let recording = prefix.join(RECORDING);
    if !recording.exists() {
        return;
    }
    let again = replay(recording).losses(LossPolicy::Count).run();
    let words = |result: &Result<Outcome, Failure>| {
        result.as_ref().map(drop).map_err(|failure| failure.error.to_string())
    };
    assert_eq!(words(&again), words(result));
}

/// Whether what was seen is the beginning of what there is, which may be nothing.
pub(crate) fn begins(seen: &Seen, whole: &Seen) -> bool {
    whole.numbers.starts_with(&seen.numbers)
        && whole.entries.starts_with(&seen.entries)
        && seen.drops <= whole.drops
        && seen.faults <= whole.faults
}
