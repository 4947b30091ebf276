//! Calls of libdtrace that fail, answer nonsense, or end the process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dtrace_consumer::aggregation::Order;
use dtrace_consumer::loss::DropKind;
use dtrace_consumer::query::{ProbeQuery, SymbolQuery, TypeQuery};
use dtrace_consumer::session::Specifier;
use dtrace_consumer::{Error, Script, StopHandle, run_synchronous, trace};
use dtrace_stand_in::plan::{CALLS, Event, Fault, HAPPENED, Misdeed, Plan};

use crate::stage::*;
use crate::types::every_kind;

pub(crate) fn the_stand_in_is_taken_for_libdtrace() {
    let prefix = Prefix::new();
    plain_plan().put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    let outcome = result.expect("nothing goes wrong");
    assert_eq!(seen, everything_seen());
    // The one that was asked for, and those that say how text is printed.
    let options = ["bufsize", "quiet", "flowindent"].map(|name| (name.to_owned(), Some(7)));
    assert_eq!(outcome.initial_options, options);
    assert_eq!(outcome.losses.dropped(DropKind::Principal), 3);
}

/// A way to use the library: what to do, and whether its result is right.
pub(crate) type Use = fn(&Path) -> Result<(), Error>;

/// A session. What was delivered before something went wrong has arrived, and nothing else than there is.
pub(crate) fn traced(prefix: &Path) -> Result<(), Error> {
    let (seen, result) = session(prefix);
    replays_alike(prefix, &result);
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
pub(crate) fn delivered_before(prefix: &Path) -> usize {
    let notes = std::fs::read_to_string(prefix.join(HAPPENED)).unwrap_or_default();
    notes.lines().next().map_or(0, |rounds| rounds.parse().expect("a number"))
}

/// A session that controls processes, which are said to end; that ends it.
pub(crate) fn controlled(prefix: &Path) -> Result<(), Error> {
    let mut ended = 0;
    let outcome = trace("BEGIN { }")
        .prefix(prefix)
        .grab(1)
        .grab(2)
        .on_process(|event| {
            ended += i32::from(event.gone);
            Ok(())
        })
        .run()?;
    // On systems other than Linux, libdtrace does not say which process has ended, and these two have not.
    let said: i32 = if SUN { 0 } else { 2 };
    assert_eq!((ended, outcome.processes.len()), (said, said.unsigned_abs() as usize));
    Ok(())
}

/// A session that is stopped while it traces.
pub(crate) fn stopped(prefix: &Path) -> Result<(), Error> {
    let stop = StopHandle::default();
    let session = trace("BEGIN { }").prefix(prefix).stop_handle(&stop);
    session
        .on_start(|_| {
            stop.stop();
            Ok(())
        })
        .run()?;
    Ok(())
}

pub(crate) fn checked(prefix: &Path) -> Result<(), Error> {
    let named = Script::probes(Specifier::Name, "stand:::");
    let programs = trace("BEGIN { }").script(named).prefix(prefix).check()?;
    assert_eq!(programs.len(), 2);
    Ok(())
}

pub(crate) fn listed(prefix: &Path) -> Result<(), Error> {
    let probes = ProbeQuery::new().prefix(prefix).pattern("stand:::").describe().list()?;
    assert_eq!(probes.len(), 3);
    Ok(())
}

pub(crate) fn looked_up(prefix: &Path) -> Result<(), Error> {
    let query = SymbolQuery::new().prefix(prefix).name("stand_in").address(4096);
    query.look_up().map(drop)
}

pub(crate) fn typed(prefix: &Path) -> Result<(), Error> {
    TypeQuery::new().prefix(prefix).name("struct all").name("int").look_up().map(drop)
}

/// The file in the prefix that is linked.
const OBJECT: &str = "object";

pub(crate) fn linked(prefix: &Path) -> Result<(), Error> {
    let object = prefix.join(OBJECT);
    let _ = std::fs::remove_file(&object);
    trace("BEGIN { }").prefix(prefix).link(&object, ["one.o", "two.o"])?;
    let text = std::fs::read_to_string(&object);
    // Where the library says that it has written it, it may be wrong.
    assert!(text.is_err() || text.is_ok_and(|text| text == "one.o\ntwo.o\n"));
    Ok(())
}

pub(crate) fn headed(prefix: &Path) -> Result<(), Error> {
    let header = trace("BEGIN { }").prefix(prefix).header("stand.h")?;
    assert!(header.is_empty() || header == b"/* stand.h */\n", "{header:?}");
    Ok(())
}

pub(crate) const USES: [(&str, Use); 9] = [
    ("traced", traced),
    ("controlled", controlled),
    ("stopped", stopped),
    ("checked", checked),
    ("listed", listed),
    ("looked up", looked_up),
    ("typed", typed),
    ("linked", linked),
    ("headed", headed),
];

/// The functions that a use calls, and how often.
pub(crate) fn calls(
    prefix: &Prefix,
    plan: &Plan,
    what: impl Fn(&Path) -> Result<(), Error>,
) -> BTreeMap<String, u32> {
    std::fs::write(prefix.path.join(CALLS), "").expect("the prefix is there");
    plan.put(&prefix.path);
    what(&prefix.path).expect("nothing goes wrong");
    let log = std::fs::read_to_string(prefix.path.join(CALLS)).expect("the calls were noted");
    std::fs::remove_file(prefix.path.join(CALLS)).expect("it is there");
    let mut calls = BTreeMap::new();
    for name in log.lines().filter_map(|line| line.split(' ').next()) {
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    calls
}

pub(crate) fn plan_for(name: &str) -> Plan {
    let gone = Event::Process { pid: 1, message: None };
    match name {
        "controlled" => Plan { rounds: vec![vec![gone.clone(), gone]], ..Plan::default() },
        // It would go on for longer than a session takes to stop.
        "stopped" => Plan { rounds: vec![vec![Event::Pause(50)]; 100], ..Plan::default() },
        "typed" => Plan { types: every_kind(), ..plain_plan() },
        _ => plain_plan(),
    }
}

/// The most calls of one function in one use. Each of them goes wrong in turn.
const MOST_CALLS: u32 = 128;

/// Runs every use with each misdeed in every call of every function.
pub(crate) fn with_each_call(
    misdeeds: &[Misdeed],
    check: impl Fn(&str, Misdeed, Result<(), Error>),
) {
    let prefix = Prefix::new();
    let (mut called, mut happened) = (BTreeSet::new(), BTreeSet::new());
    let mut faults = 0;
    for (name, what) in USES {
        let plan = plan_for(name);
        for (call, times) in calls(&prefix, &plan, what) {
            called.insert(call.clone());
            assert!(times <= MOST_CALLS, "{name}: {times} calls of {call}");
            for (misdeed, nth) in
                misdeeds.iter().flat_map(|misdeed| (1..=times).map(move |nth| (*misdeed, nth)))
            {
                let fault = Fault { call: call.clone(), nth, misdeed };
                Plan { faults: vec![fault], ..plan.clone() }.put(&prefix.path);
                let notes = prefix.path.join(HAPPENED);
                std::fs::write(&notes, "").expect("the prefix is there");
                let result = what(&prefix.path);
                // Some are called or not as the command ends before the script or after it.
                if std::fs::metadata(&notes).is_ok_and(|notes| notes.len() > 0) {
                    happened.insert(call.clone());
                    faults += 1;
                    check(&call, misdeed, result);
                }
            }
        }
    }
    println!("{faults} faults in calls of {} functions", happened.len());
    assert_eq!(called, happened, "these were not called every time");
    // This is what the uses come to. The walks in other orders are not among them.
    let least = 40;
    assert!(called.len() >= least, "the uses call only {called:?}");
}

pub(crate) fn each_call_that_fails_is_an_error_that_names_it_or_does_no_harm() {
    // What fails without a word, or where something is only missing then.
    const HARMLESS: [&str; 24] = [
        "ctf_enum_iter",
        "ctf_member_iter",
        "ctf_type_encoding",
        "ctf_type_kind",
        "ctf_type_name",
        "ctf_type_resolve",
        "ctf_type_size",
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

pub(crate) fn answers_that_mean_nothing_do_no_harm() {
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

pub(crate) fn a_death_in_each_call_is_an_error_with_the_last_words() {
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

/// Runs one use with each misdeed in every call of these functions.
fn with_calls_of(
    functions: &[&str],
    plan: &Plan,
    what: &dyn Fn(&Path) -> Result<(), Error>,
    check: impl Fn(&str, Misdeed, Result<(), Error>),
) {
    let prefix = Prefix::new();
    let times = calls(&prefix, plan, what);
    let misdeeds = [Misdeed::Fail(1006), Misdeed::Answer(4711), Misdeed::Abort];
    for function in functions {
        let nths = 1..=times.get(*function).copied().unwrap_or(0);
        assert!(!nths.is_empty(), "{function} was not called: {times:?}");
        for (nth, misdeed) in nths.flat_map(|nth| misdeeds.map(|misdeed| (nth, misdeed))) {
            let fault = Fault { call: (*function).to_owned(), nth, misdeed };
            Plan { faults: vec![fault], ..plan.clone() }.put(&prefix.path);
            check(function, misdeed, what(&prefix.path));
        }
    }
}

fn is_told(function: &str, misdeed: Misdeed, result: Result<(), Error>) {
    match (misdeed, result) {
        (Misdeed::Abort, Err(Error::WorkerDied { last_words, .. })) => {
            assert!(
                last_words.contains(&format!("assertion failed in {function}")),
                "{last_words}"
            );
        }
        (_, Err(Error::Libdtrace { call, .. })) => assert_eq!(call, function, "{misdeed:?}"),
        (Misdeed::Fail(_) | Misdeed::Answer(_), Err(Error::Option { .. })) => {
            assert_eq!(function, "dtrace_setopt");
        }
        (_, result) => panic!("{function} {misdeed:?}: {result:?}"),
    }
}

pub(crate) fn a_walk_in_any_order_that_goes_wrong_is_told() {
    use Order::*;
    for (order, function) in [
        (Unsorted, "dtrace_aggregate_walk"),
        (Key, "dtrace_aggregate_walk_keysorted"),
        (KeyReversed, "dtrace_aggregate_walk_keyrevsorted"),
        (KeyAcross, "dtrace_aggregate_walk_keyvarsorted"),
        (KeyAcrossReversed, "dtrace_aggregate_walk_keyvarrevsorted"),
        (ValueReversed, "dtrace_aggregate_walk_valrevsorted"),
        (ValueAcross, "dtrace_aggregate_walk_valvarsorted"),
        (ValueAcrossReversed, "dtrace_aggregate_walk_valvarrevsorted"),
    ] {
        // Elsewhere than on Linux, the crate sorts entries of different aggregations itself.
        let is_across = function.contains("varsorted") || function.contains("varrevsorted");
        let sorts = cfg!(not(dtrace_abi = "linux")) && is_across;
        let function = if sorts { "dtrace_aggregate_walk" } else { function };
        let plan = Plan { entries: vec![entry(1, 10)], ..Plan::default() };
        let walked = |prefix: &Path| {
            let mut entries = Vec::new();
            let session = trace("BEGIN { }").prefix(prefix).order(order).walk(|entry| {
                entries.push(entry.key::<i32>(0)?);
                Ok(())
            });
            session.run()?;
            assert_eq!(entries, [1], "{order:?}");
            Ok(())
        };
        with_calls_of(&[function], &plan, &walked, is_told);
    }
}

/// What must be done before a command may end: its records are read, and options set for that.
pub(crate) fn what_goes_wrong_while_a_command_waits_at_its_end_is_told() {
    let rounds = [vec![vec![Event::Firing(number(7))]], vec![vec![Event::Pause(10)]; 500]].concat();
    let plan = Plan { rounds, ..Plan::default() };
    let caught_up = |prefix: &Path| {
        run_synchronous("BEGIN { ustack(); }", ["true"]).prefix(prefix).chew(|_| Ok(())).run()?;
        Ok(())
    };
    with_calls_of(&["dtrace_setopt"], &plan, &caught_up, is_told);
    // Without its value, an option is left as it is.
    with_calls_of(&["dtrace_getopt"], &plan, &caught_up, |function, misdeed, result| {
        if !matches!((misdeed, &result), (Misdeed::Fail(_) | Misdeed::Answer(_), Ok(()))) {
            is_told(function, misdeed, result);
        }
    });
}

pub(crate) fn an_exit_or_a_signal_is_told_with_its_number() {
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
