//! What does `preflight` say in an inner namespace, and does that agree with what a session does there?

use std::fs;
use std::process::{Command, Stdio};

use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;
use dtrace_test_support::processes::orphans_ended;
use dtrace_test_support::surroundings::RESULT;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Root, Command("unshare")],
    tests: [
        a_pid_namespace_with_its_own_proc_is_ready_and_traces,
        a_pid_namespace_with_a_foreign_proc_is_not_ready,
        a_user_namespace_is_not_ready_and_no_capability_is_advised,
    ],
}

/// Returns what a program says that runs below `unshare` with these options.
fn says(options: &[&str], how: &str) -> String {
    let (_lock, guard) = alone();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let result = directory.path().join("result");
    let mut command = Command::new("unshare");
    command.args(options).args(traced_program("surrounded", how)).env(RESULT, &result);
    if let Some(prefix) = prefix::private() {
        command.env("DTRACE_CONSUMER_PREFIX", prefix);
    }
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("unshare(1) runs").success(), "{options:?} {how}");
    let said = fs::read_to_string(result).expect("the program has written it");
    drop(directory);
    orphans_ended();
    guard.check();
    said
}

/// Returns the line of a check, and the one below it.
fn check<'s>(said: &'s str, subject: &str) -> &'s str {
    let at = said.find(subject).unwrap_or_else(|| panic!("no {subject}: {said}"));
    let end = said[at..].match_indices('\n').nth(1).map_or(said.len(), |(end, _)| at + end);
    &said[at..end]
}

fn a_pid_namespace_with_its_own_proc_is_ready_and_traces() {
    let inner = ["--pid", "--fork", "--mount-proc"];
    let said = says(&inner, "preflight");
    assert!(said.starts_with("true\n") && !said.contains("missing"), "{said}");
    let traced = says(&inner, "as it is");
    assert!(traced.starts_with("1 firing, exit status: 3; 1 firing, exit status: 3; "), "{traced}");
}

fn a_pid_namespace_with_a_foreign_proc_is_not_ready() {
    let said = says(&["--pid", "--fork"], "preflight");
    assert!(said.starts_with("false\n"), "{said}");
    let proc = check(&said, "proc:");
    assert!(proc.contains("PID namespace") && proc.contains("mount -t proc"), "{said}");
}

fn a_user_namespace_is_not_ready_and_no_capability_is_advised() {
    for options in [
        &["--user", "--map-root-user"][..],
        &["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"],
    ] {
        let said = says(options, "preflight");
        assert!(said.starts_with("false\n") && said.contains("user namespace"), "{said}");
        assert!(!check(&said, "privilege:").contains("CAP_"), "{said}");
    }
}
