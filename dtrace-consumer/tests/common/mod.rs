//! What do the live tests share? Sessions in one line, programs to trace, and a look at what is left
//! behind.
//!
//! Each test binary is also the program that its tests trace: started as
//! `BINARY traced-program MODE [ARGUMENT]` it does what [`program`] says and ends before any test
//! would run. So the number of its system calls is known.
// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod leftovers;
pub mod program;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use dtrace_consumer::aggregation::{Aggregated, AggregationValue};
use dtrace_consumer::{Outcome, Value, run_synchronous};

/// Set to 1 where tests that cannot trace must fail.
const REQUIRE: &str = "DTRACE_CONSUMER_REQUIRE_LIVE";

/// Whether this machine can trace. If not, it says why, and fails where live tests are required.
#[must_use]
pub fn live() -> bool {
    let preflight = dtrace_consumer::preflight(None);
    if preflight.is_ready() {
        return true;
    }
    assert!(!required(), "{REQUIRE} is set, but this machine cannot trace:\n{preflight}");
    eprintln!("NOT RUN, this machine cannot trace:\n{preflight}");
    false
}

/// Whether live tests must run.
#[must_use]
pub fn required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|v| v == "1")
}

/// The command line of this binary as a program to trace.
#[must_use]
pub fn traced_program(mode: &str, argument: impl ToString) -> Vec<OsString> {
    let exe = std::env::current_exe().expect("the test knows its own file");
    vec![exe.into(), program::WORD.into(), mode.into(), argument.to_string().into()]
}

/// Runs `script` around a command that does nothing, and returns the values of each firing.
#[must_use]
pub fn values_of(script: &str) -> Vec<Vec<Value>> {
    values_with(script, |_| {}).0
}

/// As [`values_of`], with options; and what the session came to.
#[must_use]
pub fn values_with(
    script: &str,
    set: impl FnOnce(&mut Vec<(&'static str, &'static str)>),
) -> (Vec<Vec<Value>>, Outcome) {
    let mut options = Vec::new();
    set(&mut options);
    let mut all = Vec::new();
    let mut session = run_synchronous(script, ["true"]).chew(|firing| {
        all.push(firing.values().map(|v| v.to_owned()).collect());
        Ok(())
    });
    for (name, value) in options {
        session = session.option(name, value);
    }
    let outcome = session.run().expect("the session comes to its end");
    (all, outcome)
}

/// Everything that the script prints.
#[must_use]
pub fn text_of(script: &str) -> String {
    let mut text = String::new();
    run_synchronous(script, ["true"])
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    text
}

/// An aggregation's entry, kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    pub keys: Vec<Value>,
    pub value: AggregationValue,
}

impl Entry {
    #[must_use]
    pub fn of(entry: &Aggregated<'_>) -> Entry {
        Entry {
            name: entry.name().to_owned(),
            keys: entry.keys().map(|key| key.to_owned()).collect(),
            value: entry.value().clone(),
        }
    }
}

/// The entries of the walk at the end of a script's session.
#[must_use]
pub fn entries_of(script: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    run_synchronous(script, ["true"])
        .walk(|entry| {
            entries.push(Entry::of(entry));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    entries
}

/// The only entry of the aggregation `name`.
#[must_use]
pub fn named(entries: &[Entry], name: &str) -> AggregationValue {
    let mut found = entries.iter().filter(|entry| entry.name == name);
    let value = found.next().unwrap_or_else(|| panic!("there is no @{name}")).value.clone();
    assert!(found.next().is_none(), "there is more than one @{name}");
    value
}

/// Waits until `done` holds; the limit is only there so that a failure ends.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < limit, "it did not come to be that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `traced-program consumer HOW` does: it traces a command that waits, and is to be killed while
/// the command runs (`running`) or is still held (`held`). Or its workers are gone at once (`broken`).
/// Or it traces five calls and says what came of it (`calls`).
fn consumer(how: &str) -> ! {
    if how == "broken" {
        broken_pipe();
    }
    if how == "calls" {
        let script = "syscall::getppid:entry /pid == $target/ { trace(1); }";
        // Not by asking /proc, which may be missing.
        let exe = std::env::args().next().unwrap_or_default();
        let command = [&exe, program::WORD, "calls", "5"];
        match run_synchronous(script, command).chew(|_| Ok(())).run() {
            Ok(outcome) => println!("{} firings, {}", outcome.firings, outcome.losses),
            Err(failure) => println!("{:?}\n{failure}", failure.error),
        }
        std::process::exit(0)
    }
    let mut session =
        run_synchronous("BEGIN { trace(1); }", traced_program("wait", 0)).chew(|_| {
            println!("tracing");
            Ok(())
        });
    if how == "held" {
        // A worker that says nothing for as long as its standard input, the channel, lasts.
        session = session.worker("/bin/cat");
        println!("holding");
    }
    let result = session.run();
    println!("{result:?}");
    std::process::exit(0)
}

/// Writes to workers that may be gone. The process is as it was started: SIGPIPE kills it, which Rust's
/// runtime would change before `main`.
fn broken_pipe() -> ! {
    for _ in 0..20 {
        let result = run_synchronous("BEGIN { }", ["true"]).worker("/bin/true").run();
        println!("{}", result.is_err());
    }
    std::process::exit(0)
}
