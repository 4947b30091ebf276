//! What happens to a session whose elevated worker is of another version, or is no worker?
//!
//! A shell takes the place of the program that grants privilege, and does what the worker would. Where it waits,
//! it executes `cat`, which ends with the channel.

use std::time::Duration;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::error::ElevationProblem;
use dtrace_consumer::{Error, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing],
    tests: [
        a_worker_of_another_version_is_named_with_both_versions,
        what_does_not_greet_is_no_worker,
        a_worker_that_stays_silent_is_given_up,
        a_worker_that_closes_the_channel_is_an_error,
        a_request_that_is_too_long_is_refused,
    ],
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the error of a session whose worker does `commands`. Its standard input is the channel.
fn error_of(script: &str, commands: &str, limit: Duration) -> Error {
    let failure = trace(script)
        .elevation(Elevation::custom(["sh", "-c", commands]))
        .worker("/bin/true")
        .silence_limit(limit)
        .run()
        .expect_err("it is no worker");
    failure.error
}

/// A limit that is not reached.
const LONG: Duration = Duration::from_secs(60);

/// Asserts the problem of such a session, and words of its message.
fn assert_problem(commands: &str, expected: ElevationProblem, words: &[&str]) {
    assert_problem_within(LONG, commands, expected, words);
}

fn assert_problem_within(
    limit: Duration,
    commands: &str,
    expected: ElevationProblem,
    words: &[&str],
) {
    let error = error_of("BEGIN { exit(0); }", commands, limit);
    let found = matches!(&error, Error::Elevation { problem, .. } if *problem == expected);
    assert!(found, "{commands}: {error:?}");
    let text = error.to_string();
    for word in words.iter().chain(&[VERSION, "/bin/true"]) {
        assert!(text.contains(word), "{commands}: {word}: {text}");
    }
}

fn a_worker_of_another_version_is_named_with_both_versions() {
    let (_lock, guard) = alone();
    for (greeting, version) in [
        (r"DTrW\0050.0.9", "version 0.0.9 instead of"),
        (r"DTrW\01310.0.0-rc.1", "version 10.0.0-rc.1 instead of"),
        (r"DTrW\000", "version  instead of"),
        // It does not reach the terminal.
        (r"DTrW\003\033[m", r"version \x1b[m instead of"),
    ] {
        let commands = format!("printf '{greeting}' >&0; exec cat > /dev/null");
        assert_problem(&commands, ElevationProblem::Version, &[version, "install version"]);
    }
    guard.check();
}

fn what_does_not_greet_is_no_worker() {
    let (_lock, guard) = alone();
    for (commands, shown) in [
        (
            "echo Hello, what can I do for you? >&0; exec cat > /dev/null",
            r#"it sent "Hello, what can I do for you?\n""#,
        ),
        ("printf X >&0", r#"it sent "X""#),
        // A worker that has not greeted sends frames.
        (r"printf 'DTr\000\001\002' >&0", r#"it sent "DTr\x00\x01\x02""#),
        ("head -c 100000 /dev/zero >&0", r#"\x00""#),
    ] {
        assert_problem(commands, ElevationProblem::NotAWorker, &[shown, "--version"]);
    }
    guard.check();
}

fn a_worker_that_stays_silent_is_given_up() {
    let (_lock, guard) = alone();
    for commands in [
        "exec cat > /dev/null",
        "printf DTrW >&0; exec cat > /dev/null",
        "for c in D T r W; do printf $c >&0; sleep 1; done",
    ] {
        let words = ["no greeting within 2s", "--version"];
        let limit = Duration::from_secs(2);
        assert_problem_within(limit, commands, ElevationProblem::Silent, &words);
    }
    // Enough for the shell to start and to say it.
    let limit = Duration::from_secs(9);
    let words = ["no greeting within 9s; I am still busy", "--version"];
    let commands = "echo I am still busy >&2; exec cat > /dev/null";
    assert_problem_within(limit, commands, ElevationProblem::Silent, &words);
    guard.check();
}

fn a_worker_that_closes_the_channel_is_an_error() {
    let (_lock, guard) = alone();
    for (commands, said) in [
        ("exit 3", "exit status: 3"),
        ("echo no library >&2; exit 1", "no library"),
        (r"printf 'DTrW\0050.' >&0", "exit status: 0"),
        ("exec 0<&- sleep 20", "it closed the channel"),
    ] {
        assert_problem(commands, ElevationProblem::Failed, &[said, "--version"]);
    }
    guard.check();
}

fn a_request_that_is_too_long_is_refused() {
    let (_lock, guard) = alone();
    let greet = format!(r"printf 'DTrW\{:03o}{VERSION}' >&0; cat > /dev/null", VERSION.len());
    let script = format!("BEGIN {{ exit(0); }} /* {} */", "x".repeat(4 << 20));
    let error = error_of(&script, &greet, LONG);
    let Error::Refused { what, reason } = &error else { panic!("{error:?}") };
    assert!(what.starts_with("a request of 41"), "{what}");
    assert!(reason.contains("4194304 bytes"), "{reason}");
    guard.check();
}
