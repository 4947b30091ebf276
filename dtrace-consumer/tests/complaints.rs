//! What does a program say when something goes wrong and its author has prepared nothing?
//!
//! `main` prints the `Debug` form of an error. Warnings reach standard error if there is no `tracing`
//! subscriber.

use std::io::{BufRead, BufReader, Read};
#[cfg(target_os = "linux")]
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use dtrace_test_support::beginner::{beginner, complaint_of};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [],
    tests: [
        a_library_that_is_missing_is_named_with_the_places_and_the_remedy,
        a_damaged_recording_is_named_with_the_place_of_the_damage,
    ],
    needs: [Tracing],
    tests: [
        a_misspelt_function_is_shown_in_its_line,
        a_row_that_does_not_fit_names_the_probe_and_the_value,
        drops_are_told_with_the_option_that_makes_room,
        a_join_of_an_aggregation_that_does_not_exist_is_warned_of,
        a_session_without_problems_says_nothing,
    ],
    long: [
        a_description_that_matches_no_probe_is_shown_with_similar_ones,
        a_command_that_does_not_start_is_named,
        an_error_of_a_handler_is_shown_with_its_sources,
    ],
    #[cfg(all(target_os = "freebsd", target_arch = "aarch64"))]
    needs: [Tracing],
    tests: [a_fault_in_begin_that_is_only_counted_is_told_at_once],
    needs: [Tracing, Faults],
    tests: [a_fault_in_begin_is_told_at_once],
    long: [faults_of_a_hot_clause_are_told_ever_less_often],
    #[cfg(target_os = "linux")]
    needs: [Tracing, Root, Command("setpriv")],
    tests: [
        a_lack_of_privilege_is_told_with_the_remedy,
    ],
    // Only there D libraries are left out.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        a_script_that_may_need_a_left_out_library_is_told_of_it,
    ],
}

fn complaint(what: &str) -> String {
    complaint_of(beginner(what))
}

fn a_library_that_is_missing_is_named_with_the_places_and_the_remedy() {
    let mut program = beginner("works");
    program.env("DTRACE_CONSUMER_PREFIX", "/no/such/prefix");
    let said = complaint_of(program);
    assert!(said.starts_with("Error: tracing is not possible here:\nmissing  "), "{said}");
    assert!(said.contains("/no/such/prefix (named by DTRACE_CONSUMER_PREFIX)"), "{said}");
    let linux = cfg!(target_os = "linux");
    let remedy =
        if linux { "`dtrace-worker install`" } else { "libdtrace is a part of this system" };
    assert!(said.contains(remedy), "{said}");
}

fn a_damaged_recording_is_named_with_the_place_of_the_damage() {
    let reason = "frame: the recording ends before its last frame";
    assert_eq!(complaint("damaged"), format!("Error: the stream is damaged at byte 0: {reason}\n"));
}

fn a_misspelt_function_is_shown_in_its_line() {
    let said = complaint("misspelt");
    let expected = "Error: script, line 3: undefined function name: foo\n \
                    3 | \ttrace(foo(1));\n   | \t      ^\n";
    assert_eq!(said, expected);
}

fn a_description_that_matches_no_probe_is_shown_with_similar_ones() {
    let said = complaint("unmatched");
    let lines: Vec<&str> = said.lines().collect();
    let [first, line, similar] = lines[..] else { panic!("{said}") };
    assert!(first.starts_with("Error: script, line 1: probe description syscall::getpidd:entry"));
    assert_eq!(line, " 1 | syscall::getpidd:entry { trace(1); }");
    if cfg!(target_os = "linux") {
        assert!(similar.starts_with("similar: syscall:vmlinux:getpid:entry"), "{said}");
    } else {
        // The calls of 32-bit programs may come first.
        assert!(similar.starts_with("similar: syscall:freebsd"), "{said}");
        assert!(similar.contains("syscall:freebsd:getpid:entry"), "{said}");
    }
}

/// Which libraries are left out differs between kernels.
#[cfg(target_os = "linux")]
fn a_script_that_may_need_a_left_out_library_is_told_of_it() {
    let said = complaint("no translator");
    let mut lines = said.lines();
    assert!(
        lines.next().is_some_and(|first| first.starts_with("Error: script, line 1: ")),
        "{said}"
    );
    for line in lines.skip(2) {
        assert!(line.contains("was left out: "), "{said}");
    }
}

fn a_command_that_does_not_start_is_named() {
    let expected = "Error: cannot start /no/such/program: No such file or directory (os error 2)\n";
    assert_eq!(complaint("no command"), expected);
}

fn a_row_that_does_not_fit_names_the_probe_and_the_value() {
    let said = complaint("misfit");
    let expected = "Error: the row of dtrace:::BEGIN does not fit its type: value 1: expected u64, \
                    found string two\n";
    assert!(said.ends_with(expected), "{said}");
}

fn an_error_of_a_handler_is_shown_with_its_sources() {
    let said = complaint("handler");
    let expected = "Error: the chew handler failed: cannot store the record: the disk is full\n";
    assert!(said.ends_with(expected), "{said}");
}

fn a_fault_in_begin_is_told_at_once() {
    let line = told_of_a_fault_in_begin();
    assert!(line.contains("dtrace:::BEGIN") && line.contains("invalid address"), "{line}");
}

#[cfg(all(target_os = "freebsd", target_arch = "aarch64"))]
fn a_fault_in_begin_that_is_only_counted_is_told_at_once() {
    let line = told_of_a_fault_in_begin();
    let expected = "dtrace-consumer: data were lost: 1 error within the ERROR probe drop so far \
                    (a clause has failed; on arm64 FreeBSD does not tell which one, or why)\n";
    assert_eq!(line, expected);
}

/// Returns what is told while the session goes on, which is all. The command goes on until its input ends, and so does the
/// session.
fn told_of_a_fault_in_begin() -> String {
    let mut program = beginner("begin fault")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut said = BufReader::new(program.stderr.take().expect("its standard error"));
    let (tell, told) = channel();
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        let _ = tell.send(line);
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("text");
        rest
    });
    let line = told.recv_timeout(Duration::from_secs(60));
    drop(program.stdin.take());
    program.wait().expect("a child");
    let line = line.expect("a line while the session goes on");
    assert_eq!(reading.join().expect("it reads"), "");
    line
}

fn faults_of_a_hot_clause_are_told_ever_less_often() {
    let said = complaint("hot faults");
    let told: Vec<&str> =
        said.lines().map(|line| line.rsplit("pc ").next().unwrap_or("")).collect();
    assert_eq!(told.len(), 4, "{said}");
    for (line, times) in told[1..].iter().zip(["10", "100", "1000"]) {
        assert!(line.ends_with(&format!(" ({times} times so far)")), "{said}");
    }
}

fn drops_are_told_with_the_option_that_makes_room() {
    let said = complaint("drops");
    assert!((1..=5).contains(&said.lines().count()), "{said}");
    for line in said.lines() {
        assert!(line.starts_with("dtrace-consumer: data were lost: "), "{said}");
        assert!(line.ends_with(" so far (raise the option `bufsize`)"), "{said}");
    }
}

fn a_join_of_an_aggregation_that_does_not_exist_is_warned_of() {
    let output = beginner("unknown aggregation").output().expect("the program can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 warnings\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "dtrace-consumer: @call: `walk_joined` names it, but the script has only @calls\n"
    );
}

fn a_session_without_problems_says_nothing() {
    assert_eq!(complaint("works"), "");
}

#[cfg(target_os = "linux")]
fn a_lack_of_privilege_is_told_with_the_remedy() {
    let program = beginner("works");
    let mut powerless = Command::new("setpriv");
    powerless.arg("--bounding-set=-all");
    powerless.arg(program.get_program()).args(program.get_args());
    let said = complaint_of(powerless);
    assert!(
        said.starts_with("Error: tracing is not possible here:\nmissing  privilege: "),
        "{said}"
    );
    assert!(said.contains("run it as root"), "{said}");
}
