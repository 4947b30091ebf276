//! Is a test that cannot run told from one that passed, and does the command line select tests?
//!
//! This binary is also the one whose tests are looked at: with the variable `INNER` it runs those of [`inner`].

use std::process::{Command, ExitCode};

use dtrace_test_support::harness::{self, SWITCH, Test, ignore};
use dtrace_test_support::{Missing, Need};

const INNER: &str = "INNER";
const REQUIRE_LIVE: &str = "DTRACE_CONSUMER_REQUIRE_LIVE";

fn main() -> ExitCode {
    harness::run(if std::env::var_os(INNER).is_some() { inner() } else { outer() })
}

fn inner() -> Vec<Test> {
    let missing = || Err(Missing { what: "no moon".into(), details: "look up".into() });
    vec![
        Test::of("passes", || {}),
        Test::of("fails", || panic!("as it must")),
        Test::of("lacks_something", || panic!("it ran")).needs(&[Need::Check(missing)]),
        Test::of("lacks_it_too", || panic!("it ran")).needs(&[Need::Check(missing)]),
        Test::of("finds_out_late", || ignore("not today")),
        Test::of("takes_long", || {}).long(),
    ]
}

fn outer() -> Vec<Test> {
    vec![
        Test::of("what_cannot_run_is_ignored_with_its_reason", what_cannot_run_is_ignored),
        Test::of("what_is_required_fails_with_its_reason", what_is_required_fails),
        Test::of("long_tests_run_where_they_are_asked_for", long_tests_run_if_asked_for),
        Test::of("names_select_tests", names_select_tests),
        Test::of("a_list_runs_nothing", a_list_runs_nothing),
    ]
}

/// What the inner tests print with these variables and arguments, and whether they passed.
fn run(variables: &[(&str, &str)], arguments: &[&str]) -> (String, bool) {
    let this = std::env::current_exe().expect("the test knows its own file");
    let output = Command::new(this)
        .env_remove(REQUIRE_LIVE)
        .env_remove(SWITCH)
        .env(INNER, "1")
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .expect("it can be started");
    (String::from_utf8(output.stdout).expect("text"), output.status.success())
}

/// The result that is printed behind a test's name.
fn result<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(&format!("test {name} ")))?;
    line.split_once("... ").map(|(_, result)| result)
}

fn what_cannot_run_is_ignored() {
    let (text, passed) = run(&[], &["--skip", "fails"]);
    assert!(passed, "{text}");
    for (name, expected) in [
        ("passes", "ok"),
        ("lacks_something", "ignored (no moon)"),
        ("lacks_it_too", "ignored (no moon)"),
        ("finds_out_late", "ignored (not today)"),
        ("takes_long", "ignored (takes long; DTRACE_CONSUMER_TESTS=all runs it)"),
    ] {
        assert_eq!(result(&text, name), Some(expected), "{text}");
    }
    assert!(text.contains("\n2 tests ignored: no moon\n    look up\n"), "{text}");
    assert!(text.contains("\n1 test ignored: not today\n"), "{text}");
    let (text, passed) = run(&[], &["fails"]);
    assert!(!passed && result(&text, "fails") == Some("FAILED"), "{text}");
    // The place of the panic is there.
    assert!(text.contains("harness.rs:") && text.contains("as it must"), "{text}");
}

fn what_is_required_fails() {
    let (text, passed) = run(&[(REQUIRE_LIVE, "1")], &["lacks_something"]);
    assert!(!passed, "{text}");
    assert!(text.contains("DTRACE_CONSUMER_REQUIRE_LIVE is set, but no moon\n"), "{text}");
    assert!(text.contains("\n1 test failed: no moon\n    look up\n"), "{text}");
    // What a test itself finds out is nobody's fault.
    let (text, passed) = run(&[(REQUIRE_LIVE, "1")], &["finds_out_late"]);
    assert!(passed && result(&text, "finds_out_late") == Some("ignored (not today)"), "{text}");
}

fn long_tests_run_if_asked_for() {
    for (variables, arguments) in [
        (&[(SWITCH, "all")][..], &["takes_long"][..]),
        (&[], &["--ignored"]),
        (&[], &["--include-ignored", "takes"]),
        (&[(SWITCH, "all")], &["--ignored"]),
    ] {
        let (text, passed) = run(variables, arguments);
        assert!(passed && text.contains("\nrunning 1 test\n"), "{arguments:?}: {text}");
        assert_eq!(result(&text, "takes_long"), Some("ok"), "{arguments:?}: {text}");
    }
}

fn names_select_tests() {
    let of = |arguments: &[&str]| {
        let (text, _) = run(&[], arguments);
        let line = text.lines().find(|line| line.starts_with("running ")).expect("it begins");
        line.trim_start_matches("running ").to_owned()
    };
    assert_eq!(of(&[]), "6 tests");
    assert_eq!(of(&["lacks"]), "2 tests");
    assert_eq!(of(&["lacks", "passes", "--skip", "too"]), "2 tests");
    assert_eq!(of(&["--exact", "lacks", "passes"]), "1 test");
    assert_eq!(of(&["--test-threads", "1", "--nocapture", "passes"]), "1 test");
    assert_eq!(of(&["--color", "never", "nothing_of_that_name"]), "0 tests");
}

fn a_list_runs_nothing() {
    let (text, passed) = run(&[], &["--list", "lacks", "fails"]);
    assert!(passed, "{text}");
    assert_eq!(text.trim_end(), "fails: test\nlacks_something: test\nlacks_it_too: test");
}
