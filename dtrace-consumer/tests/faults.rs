//! What happens when libdtrace fails, dies or delivers what cannot be?
//!
//! A stand-in for libdtrace (`stand-in/`) does what the real one cannot be made to do. Every session
//! ends with an error that says what failed or with the right data, what was delivered before has
//! arrived, and nothing is left behind. `.ci/run` runs these tests under AddressSanitizer, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use dtrace_consumer::loss::DropKind;
use dtrace_consumer::query::{ProbeQuery, SymbolQuery, TypeQuery};
use dtrace_consumer::{Error, Failure, Outcome, run_synchronous, trace};
use dtrace_stand_in::plan::{
    CALLS, Entry, EntryOddity, Event, Fault, Firing, HAPPENED, ListingOddity, Misdeed, Oddity,
    Plan, Record,
};
use dtrace_test_support::Missing;
use dtrace_test_support::leftovers::{Guard, alone};
use dtrace_test_support::live_tests;
use parking_lot::MutexGuard;

live_tests! {
    needs: [Check(the_stand_in_can_be_loaded)],
    tests: [
        the_stand_in_is_taken_for_libdtrace,
        each_call_that_fails_is_an_error_that_names_it_or_does_no_harm,
        answers_that_mean_nothing_do_no_harm,
        a_death_in_each_call_is_an_error_with_the_last_words,
        an_exit_or_a_signal_is_told_with_its_number,
        firings_that_cannot_be_are_refused_and_those_before_them_arrive,
        records_that_lie_outside_of_their_data_are_refused,
        odd_firings_that_can_be_arrive,
        a_firing_that_was_interrupted_and_comes_again_arrives_once,
        a_signal_during_the_wait_is_no_failure,
        the_end_of_a_process_that_libdtrace_misses_ends_the_session,
        drops_of_every_kind_are_counted,
        drops_that_are_told_while_a_firing_is_printed_are_counted,
        entries_that_cannot_be_are_refused_and_what_was_before_them_arrives,
        entries_of_which_something_is_missing_arrive_or_are_damaged,
        descriptions_of_probes_and_programs_that_cannot_be_are_refused,
        a_description_without_its_parts_is_not_handed_back_to_the_library,
    ],
}

/// Whether the stand-in, and what is tested, has the structures of the other platforms than Linux.
const SUN: bool = cfg!(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"));

/// A prefix with the stand-in in it.
struct Prefix {
    path: PathBuf,
    guard: Option<Guard>,
    _alone: MutexGuard<'static, ()>,
}

impl Prefix {
    fn new() -> Prefix {
        let (alone, guard) = alone();
        Prefix { path: directory(), guard: Some(guard), _alone: alone }
    }
}

/// Lays out a prefix.
fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("stand-in-{}-{number}", std::process::id()));
    std::fs::create_dir_all(path.join("lib")).expect("a directory");
    let exe = std::env::current_exe().expect("the test knows its own file");
    let stand_in = exe.with_file_name("libdtrace_stand_in.so");
    std::os::unix::fs::symlink(&stand_in, path.join("lib/libdtrace.so.2")).expect("a link");
    path
}

/// A session gets to libdtrace only where this machine can trace.
fn the_stand_in_can_be_loaded() -> Result<(), Missing> {
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

fn record(action: u16, offset: u32, size: u32) -> Record {
    Record { action, offset, size, alignment: 4, ..Record::default() }
}

/// A firing that records a number.
fn number(n: i32) -> Firing {
    Firing {
        statement: 1,
        records: vec![Record { argument: 1, ..record(1, 0, 4) }],
        data: n.to_ne_bytes().to_vec(),
        oddity: None,
    }
}

/// A firing with everything that makes the worker ask the library something.
fn everything() -> Firing {
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
        oddity: None,
    }
}

fn plain_plan() -> Plan {
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

fn entry(key: i32, value: u64) -> Entry {
    Entry { key, value, oddity: None }
}

/// What the closures of a session have seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    numbers: Vec<i32>,
    text: String,
    entries: Vec<(i32, i64)>,
    drops: u64,
    faults: u64,
}

fn everything_seen() -> Seen {
    Seen {
        numbers: vec![7, 8],
        text: ".said %d\n..a commandprinted.".to_owned(),
        entries: vec![(1, 10), (2, 20)],
        drops: 3,
        faults: 1,
    }
}

/// A session around a command, with every kind of closure.
fn session(prefix: &Path) -> (Seen, Result<Outcome, Failure>) {
    let mut seen = Seen::default();
    let (mut numbers, mut text, mut entries) = (Vec::new(), String::new(), Vec::new());
    let result = run_synchronous("BEGIN { trace(execname); }", ["true"])
        .prefix(prefix)
        .option("bufsize", "4m")
        .read_option("bufsize")
        .printed_entries()
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

/// Whether what was seen is the beginning of what there is, which may be nothing.
fn begins(seen: &Seen, whole: &Seen) -> bool {
    whole.numbers.starts_with(&seen.numbers)
        && whole.entries.starts_with(&seen.entries)
        && seen.drops <= whole.drops
        && seen.faults <= whole.faults
}

fn the_stand_in_is_taken_for_libdtrace() {
    let prefix = Prefix::new();
    plain_plan().put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    let outcome = result.expect("nothing goes wrong");
    assert_eq!(seen, everything_seen());
    assert_eq!(outcome.initial_options, [("bufsize".to_owned(), Some(7))]);
    assert_eq!(outcome.losses.dropped(DropKind::Principal), 3);
}

/// A way to use the library: what to do, and whether its result is right.
type Use = fn(&Path) -> Result<(), Error>;

/// A session. What was delivered before something went wrong has arrived, and nothing else than there is.
fn traced(prefix: &Path) -> Result<(), Error> {
    let (seen, result) = session(prefix);
    let whole = everything_seen();
    assert!(begins(&seen, &whole), "{seen:?}");
    let rounds = delivered_before(prefix);
    assert!(seen.numbers.len() >= rounds.min(2), "{rounds} rounds were delivered: {seen:?}");
    if rounds > 0 {
        assert_eq!((seen.drops, seen.faults), (whole.drops, whole.faults), "{seen:?}");
    }
    result?;
    assert_eq!((seen.numbers, seen.entries), (whole.numbers, whole.entries));
    Ok(())
}

/// How many rounds the stand-in had delivered when something went wrong.
fn delivered_before(prefix: &Path) -> usize {
    let notes = std::fs::read_to_string(prefix.join(HAPPENED)).unwrap_or_default();
    notes.lines().next().map_or(0, |rounds| rounds.parse().expect("a number"))
}

/// A session that controls processes, which are said to end; that ends it.
fn controlled(prefix: &Path) -> Result<(), Error> {
    let mut ended = 0;
    let outcome = trace("BEGIN { }")
        .prefix(prefix)
        .create(["true"])
        .grab(1)
        .on_process(|event| {
            ended += i32::from(event.gone);
            Ok(())
        })
        .run()?;
    assert_eq!((ended, outcome.processes.len()), (2, 2));
    Ok(())
}

fn checked(prefix: &Path) -> Result<(), Error> {
    let programs = trace("BEGIN { }").prefix(prefix).check()?;
    assert_eq!(programs.len(), 1);
    Ok(())
}

fn listed(prefix: &Path) -> Result<(), Error> {
    let probes = ProbeQuery::new().prefix(prefix).pattern("stand:::").describe().list()?;
    assert_eq!(probes.len(), 3);
    Ok(())
}

fn looked_up(prefix: &Path) -> Result<(), Error> {
    let query = SymbolQuery::new().prefix(prefix).name("stand_in").address(4096);
    query.look_up().map(drop)
}

fn typed(prefix: &Path) -> Result<(), Error> {
    TypeQuery::new().prefix(prefix).name("int").look_up().map(drop)
}

const USES: [(&str, Use); 6] = [
    ("traced", traced),
    ("controlled", controlled),
    ("checked", checked),
    ("listed", listed),
    ("looked up", looked_up),
    ("typed", typed),
];

/// The functions that a use calls, and how often.
fn calls(prefix: &Prefix, plan: &Plan, what: Use) -> BTreeMap<String, u32> {
    std::fs::write(prefix.path.join(CALLS), "").expect("the prefix is there");
    plan.put(&prefix.path);
    what(&prefix.path).expect("nothing goes wrong");
    let log = std::fs::read_to_string(prefix.path.join(CALLS)).expect("the calls were noted");
    std::fs::remove_file(prefix.path.join(CALLS)).expect("it is there");
    let mut calls = BTreeMap::new();
    for name in log.lines() {
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    calls
}

fn plan_for(name: &str) -> Plan {
    let gone = Event::Process { pid: 1, message: None };
    match name {
        "controlled" => Plan { rounds: vec![vec![gone.clone(), gone]], ..Plan::default() },
        _ => plain_plan(),
    }
}

/// Runs every use with `misdeed` in every function that it calls, at the first and the last call.
fn with_each_call(misdeeds: &[Misdeed], check: impl Fn(&str, Misdeed, Result<(), Error>)) {
    let prefix = Prefix::new();
    let (mut called, mut happened) = (BTreeSet::new(), BTreeSet::new());
    for (name, what) in USES {
        let plan = plan_for(name);
        for (call, times) in calls(&prefix, &plan, what) {
            called.insert(call.clone());
            for misdeed in misdeeds {
                for nth in [1, times].into_iter().take(if times > 1 { 2 } else { 1 }) {
                    let fault = Fault { call: call.clone(), nth, misdeed: *misdeed };
                    Plan { faults: vec![fault], ..plan.clone() }.put(&prefix.path);
                    let notes = prefix.path.join(HAPPENED);
                    std::fs::write(&notes, "").expect("the prefix is there");
                    let result = what(&prefix.path);
                    // Some are called or not as the command ends before the script or after it.
                    if std::fs::metadata(&notes).is_ok_and(|notes| notes.len() > 0) {
                        happened.insert(call.clone());
                        check(&call, *misdeed, result);
                    }
                }
            }
        }
    }
    assert_eq!(called, happened, "these were not called every time");
    assert!(called.len() >= 35, "the uses call only {called:?}");
}

fn each_call_that_fails_is_an_error_that_names_it_or_does_no_harm() {
    // What fails without a word, or where something is only missing then.
    const HARMLESS: [&str; 20] = [
        "ctf_type_name",
        "ctf_type_kind",
        "ctf_type_resolve",
        "dtrace_addr2str",
        "dtrace_aggregate_snap",
        "dtrace_aggregate_walk_valsorted",
        "dtrace_close",
        "dtrace_errmsg",
        "dtrace_errno",
        "dtrace_faultstr",
        "dtrace_fprintf",
        "dtrace_getopt",
        "dtrace_lookup_by_addr",
        "dtrace_lookup_by_name",
        "dtrace_lookup_by_type",
        "dtrace_printf_format",
        "dtrace_probe_info",
        "dtrace_proc_continue",
        "dtrace_program_info",
        "dtrace_uaddr2str",
    ];
    with_each_call(&[Misdeed::Fail(1006)], |call, _, result| match result {
        Ok(()) => assert!(
            HARMLESS.contains(&call) || call == "dtrace_sleep",
            "{call} failed, and nobody said so"
        ),
        Err(Error::Libdtrace { call: named, number, message, .. }) => {
            assert_eq!((&named[..], number), (call, 1006), "{message}");
            assert!(message.contains("stand-in error 1006"), "{message}");
        }
        Err(Error::Option { reason, .. }) => {
            assert_eq!((call, &reason[..]), ("dtrace_setopt", "stand-in error 1006"));
        }
        Err(Error::Compile(error)) => {
            assert!(call.contains("compile"), "{call}");
            assert!(error.message.contains("stand-in error 1006"), "{error}");
        }
        Err(Error::Process { number, message, .. }) => {
            assert!(call.contains("proc"), "{call}");
            assert_eq!((number, &message[..]), (1006, "stand-in error 1006"));
        }
        Err(error) => panic!("{call}: {error:?}"),
    });
}

fn answers_that_mean_nothing_do_no_harm() {
    let answers = [i64::from(i32::MIN), 4711].map(Misdeed::Answer);
    with_each_call(&answers, |call, misdeed, result| match result {
        Ok(())
        | Err(
            Error::Libdtrace { .. }
            | Error::Process { .. }
            | Error::Option { .. }
            | Error::Compile(_),
        ) => {}
        Err(error) => panic!("{call} {misdeed:?}: {error:?}"),
    });
}

fn a_death_in_each_call_is_an_error_with_the_last_words() {
    with_each_call(&[Misdeed::Abort], |call, _, result| {
        // After the end of the stream nobody listens any more.
        let after_the_end = call == "dtrace_close" && result.is_ok();
        match result {
            Err(Error::WorkerDied { status, last_words }) => {
                assert!(status.contains("SIGABRT"), "{call}: {status}");
                assert!(
                    last_words.contains(&format!("assertion failed in {call}")),
                    "{last_words}"
                );
            }
            result => assert!(after_the_end, "{call}: {result:?}"),
        }
    });
}

fn an_exit_or_a_signal_is_told_with_its_number() {
    let prefix = Prefix::new();
    for call in ["dtrace_open", "dtrace_program_fcompile", "dtrace_go", "dtrace_work"] {
        for (misdeed, says) in [
            (Misdeed::Exit(1), "exit status: 1"),
            (Misdeed::Signal(11), "SIGSEGV"),
            (Misdeed::Signal(9), "SIGKILL"),
        ] {
            let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed }];
            Plan { faults, ..plain_plan() }.put(&prefix.path);
            std::fs::write(prefix.path.join(HAPPENED), "").expect("the prefix is there");
            let Err(Error::WorkerDied { status, .. }) = traced(&prefix.path) else {
                panic!("{call} {misdeed:?}")
            };
            assert!(status.contains(says), "{call}: {status}");
        }
    }
}

/// Runs a session in which `odd` comes after a firing that is as it should be.
fn after_a_good_one(prefix: &Prefix, odd: Event) -> (Seen, Result<Outcome, Failure>) {
    let rounds = vec![
        vec![Event::Firing(number(7)), odd],
        vec![Event::Firing(number(8)), Event::Firing(number(9))],
    ];
    Plan { rounds, ..Plan::default() }.put(&prefix.path);
    session(&prefix.path)
}

/// It is refused with a reason, and the firing before it has arrived.
fn refused(prefix: &Prefix, odd: Event, says: &str) {
    let what = format!("{odd:?}");
    let (seen, result) = after_a_good_one(prefix, odd);
    let Err(Failure { error: Error::Libdtrace { call, message, .. }, .. }) = result else {
        panic!("{what}: {result:?}")
    };
    assert_eq!(call, "dtrace_work", "{what}");
    assert!(message.contains("invalid data from libdtrace"), "{what}: {message}");
    assert!(message.contains(says), "{what}: {message}");
    assert_eq!(seen.numbers, [7], "{what}");
}

fn firings_that_cannot_be_are_refused_and_those_before_them_arrive() {
    let prefix = Prefix::new();
    let odd = |oddity| Event::Firing(Firing { statement: 3, oddity: Some(oddity), ..everything() });
    let cases = [
        (Oddity::NoDescription, "null pointer to a description of records"),
        (Oddity::CrookedDescription, "misaligned pointer"),
        (Oddity::NoProbe, "null pointer to a description of a probe"),
        (Oddity::Count(-1), "of records: -1"),
        (Oddity::Count(i32::MAX), "of records: 2147483647"),
        (Oddity::NoData, "null pointer to data"),
        (Oddity::Size(0), "of data"),
        (Oddity::Size(20), "of data"),
        (Oddity::ForeignRecord, "outside the list of its firing"),
        (Oddity::CrookedRecord, "outside the list of its firing"),
        (Oddity::RecordOfNothing, "null pointer to a firing"),
        (Oddity::NoEnd, "without an end"),
        (Oddity::Nested, "nested firing"),
        (Oddity::TwoEnds, "that did not begin"),
    ];
    for (oddity, says) in cases {
        refused(&prefix, odd(oddity), says);
    }
    // Elsewhere the list is a part of the description.
    if !SUN {
        refused(&prefix, odd(Oddity::NoRecords), "null pointer to records");
        refused(&prefix, odd(Oddity::CrookedRecords), "misaligned pointer");
    }
    refused(&prefix, Event::NoFiring, "null pointer to a firing");
    refused(&prefix, Event::LoneRecord, "without a firing");
    refused(&prefix, Event::LoneEnd, "that did not begin");
    refused(&prefix, Event::Drop { kind: 0, drops: 1, missing: true }, "null pointer to");
    refused(&prefix, Event::Fault { probe: true, missing: true }, "null pointer to a fault");
    refused(&prefix, Event::Option { missing: true }, "null pointer to");
}

fn records_that_lie_outside_of_their_data_are_refused() {
    let prefix = Prefix::new();
    for (offset, size) in [(0, 5), (4, 1), (u32::MAX, 4), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut firing = number(1);
        firing.statement = 3;
        firing.records.push(record(1, offset, size));
        refused(&prefix, Event::Firing(firing), "record 1 at");
    }
    // A clause that was described with less than it has now.
    let mut more = number(1);
    more.data.truncate(2);
    refused(&prefix, Event::Firing(more), "record 0 at");
}

fn odd_firings_that_can_be_arrive() {
    let prefix = Prefix::new();
    // No record, no data, records of no size and of odd alignment, unknown actions.
    let empty = Firing { statement: 3, ..Firing::default() };
    let mut strange = number(1);
    strange.statement = 4;
    strange.records = vec![
        Record { alignment: 0, ..record(0xffff, 1, 3) },
        Record { alignment: 3, argument: u64::MAX, ..record(1, 0, 0) },
        Record { format: Some("%*.*hhd %".to_owned()), ..record(3, 1, 1) },
    ];
    let nameless = Firing { oddity: Some(Oddity::NoNames), ..number(1) };
    for firing in [empty, strange, nameless] {
        let (seen, result) = after_a_good_one(&prefix, Event::Firing(firing.clone()));
        let outcome = result.unwrap_or_else(|failure| panic!("{firing:?}: {failure}"));
        assert_eq!(outcome.firings, 4, "{firing:?}");
        assert!(seen.numbers.ends_with(&[8, 9]), "{seen:?}");
    }
}

fn a_firing_that_was_interrupted_and_comes_again_arrives_once() {
    let prefix = Prefix::new();
    let again = Firing { oddity: Some(Oddity::Redelivered), ..number(8) };
    let rounds =
        vec![vec![Event::Firing(number(7)), Event::Firing(again), Event::Firing(number(9))]];
    Plan { rounds, ..Plan::default() }.put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    result.expect("a signal is no failure");
    assert_eq!(seen.numbers, [7, 8]);
}

fn a_signal_during_the_wait_is_no_failure() {
    let prefix = Prefix::new();
    let (seen, result) = after_a_good_one(&prefix, Event::Interrupted);
    result.expect("a signal is no failure");
    assert_eq!(seen.numbers, [7, 8, 9]);
}

fn the_end_of_a_process_that_libdtrace_misses_ends_the_session() {
    let prefix = Prefix::new();
    // It goes on for a minute without a word about the process.
    Plan { rounds: vec![vec![Event::Pause(100)]; 600], ..Plan::default() }.put(&prefix.path);
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep(1) is there");
    let pid = child.id().cast_signed();
    let mut gone = Vec::new();
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .grab(pid)
        .on_start(|_| Ok(child.kill()?))
        .on_process(|event| {
            gone.push((event.pid, event.gone));
            Ok(())
        })
        .run();
    result.expect("the session comes to its end");
    assert_eq!(gone, [(pid, true)]);
    child.wait().expect("it is a child");
}

fn drops_of_every_kind_are_counted() {
    let prefix = Prefix::new();
    for kind in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1, i32::MAX] {
        let (seen, result) =
            after_a_good_one(&prefix, Event::Drop { kind, drops: 5, missing: false });
        result.expect("drops are no failure");
        assert_eq!((seen.drops, &seen.numbers[..]), (5, &[7, 8, 9][..]), "kind {kind}");
    }
}

fn drops_that_are_told_while_a_firing_is_printed_are_counted() {
    let prefix = Prefix::new();
    let rounds = vec![vec![Event::Firing(everything()), Event::Firing(number(7))]];
    Plan { drops_in_snapshot: 2, rounds, entries: vec![entry(1, 10)], ..Plan::default() }
        .put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    result.expect("drops are no failure");
    // One snapshot for printa(), one at the end.
    assert_eq!((seen.drops, &seen.numbers[..], &seen.entries[..]), (4, &[7][..], &[(1, 10)][..]));
}

fn entries_that_cannot_be_are_refused_and_what_was_before_them_arrives() {
    let prefix = Prefix::new();
    let cases = [
        (EntryOddity::NoEntry, "null pointer to an entry of an aggregation"),
        (EntryOddity::NoDescription, "null pointer to a description of an aggregation"),
        (EntryOddity::Keys(-1), if SUN { "of records: -1" } else { "of keys: 4294967295" }),
        (EntryOddity::Keys(i32::MAX), "2147483647"),
        (EntryOddity::NoKeys, "at 0x0"),
        (EntryOddity::KeyOutside, "record 1 at 5"),
        (EntryOddity::NoValue, "data at 0x0"),
        (EntryOddity::ValueOutside, "at 4294967295"),
        (EntryOddity::Function(7), "unknown aggregating function 7"),
    ];
    for (oddity, says) in cases {
        let odd = Entry { oddity: Some(oddity), ..entry(2, 20) };
        let rounds = vec![vec![Event::Firing(number(7))]];
        let entries = vec![entry(1, 10), odd, entry(3, 30)];
        Plan { rounds, entries, ..Plan::default() }.put(&prefix.path);
        let (seen, result) = session(&prefix.path);
        let Err(Failure { error: Error::Libdtrace { call, message, .. }, .. }) = result else {
            panic!("{oddity:?}: {result:?}")
        };
        assert_eq!(call, "dtrace_aggregate_walk_valsorted", "{oddity:?}");
        assert!(message.contains(says), "{oddity:?}: {message}");
        assert_eq!((seen.numbers, seen.entries), (vec![7], vec![(1, 10)]), "{oddity:?}");
    }
}

fn entries_of_which_something_is_missing_arrive_or_are_damaged() {
    let prefix = Prefix::new();
    let run = |oddity| {
        let entries = vec![Entry { oddity: Some(oddity), ..entry(2, 20) }];
        Plan { entries, ..Plan::default() }.put(&prefix.path);
        session(&prefix.path)
    };
    let (seen, result) = run(EntryOddity::NoName);
    result.expect("a name is not needed");
    assert_eq!(seen.entries, [(2, 20)]);
    let (seen, result) = run(EntryOddity::ShortValue);
    assert!(matches!(result, Err(Failure { error: Error::Stream { .. }, .. })), "{result:?}");
    assert!(seen.entries.is_empty());
}

fn descriptions_of_probes_and_programs_that_cannot_be_are_refused() {
    let prefix = Prefix::new();
    let run = |oddity, what: Use| {
        Plan { listing: Some(oddity), ..Plan::default() }.put(&prefix.path);
        what(&prefix.path)
    };
    let cases: [(ListingOddity, Use, &str); 7] = [
        (ListingOddity::NoProbe, listed, "dtrace_probe_iter"),
        (ListingOddity::CrookedProbe, listed, "dtrace_probe_iter"),
        (ListingOddity::Arguments(-1), listed, "dtrace_probe_iter"),
        (ListingOddity::Arguments(i32::MAX), listed, "dtrace_probe_iter"),
        (ListingOddity::NoArguments, listed, "dtrace_probe_iter"),
        (ListingOddity::NoStatement, checked, "dtrace_stmt_iter"),
        (ListingOddity::NoClause, checked, "dtrace_stmt_iter"),
    ];
    for (oddity, what, named) in cases {
        match run(oddity, what) {
            Err(Error::Libdtrace { call, message, .. }) => {
                assert_eq!(call, named, "{oddity:?}");
                assert!(message.contains("invalid data from libdtrace"), "{oddity:?}: {message}");
            }
            result => panic!("{oddity:?}: {result:?}"),
        }
    }
    run(ListingOddity::NoSymbol, looked_up).expect("names are not needed");
}

fn a_description_without_its_parts_is_not_handed_back_to_the_library() {
    let prefix = Prefix::new();
    Plan { listing: Some(ListingOddity::NoParts), ..Plan::default() }.put(&prefix.path);
    let result = listed(&prefix.path);
    // Elsewhere a description holds its parts.
    if SUN {
        return result.expect("nothing is missing");
    }
    let Err(Error::Libdtrace { call, .. }) = result else { panic!("{result:?}") };
    assert_eq!(call, "dtrace_str2desc");
}
