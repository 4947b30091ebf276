//! Live system-call rates, run as their users run them: as a program that is interrupted.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{descendants_of, wait_until_gone};
use dtrace_test_support::programs::{as_nobody, example, stderr, stdout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [
        it_lists_rates_until_ctrl_c_and_then_totals,
        one_process_is_counted_alone,
        a_reader_that_leaves_early_ends_it_quietly,
    ],
    needs: [],
    tests: [
        an_ordinary_user_is_told_what_is_missing,
        a_command_line_that_is_not_understood_exits_with_ex_usage,
    ],
}

fn start(arguments: &[&str]) -> Child {
    Command::new(example("syscall_rates"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("it can be interrupted");
}

fn it_lists_rates_until_ctrl_c_and_then_totals() {
    let mut child = start(&["--top", "3"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // The second list, so that it does go on; the tracer's own reading and waiting is not in it, but
    // something in the system always makes calls.
    let mut heads = 0;
    while heads < 2 {
        let line = lines.next().expect("it goes on").expect("text");
        heads += u32::from(line.ends_with(" calls/s"));
    }
    let processes = descendants_of(child.id());
    assert!(!processes.is_empty(), "the worker");
    interrupt(&child);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let last = rest.last().expect("totals");
    assert!(last.contains(" calls in all; "), "{last}");
    let status = child.wait().expect("its status");
    assert!(status.success(), "{status}");
    wait_until_gone(&processes);
}

fn one_process_is_counted_alone() {
    // It makes one kind of call only.
    let mut busy = Command::new("sh")
        .args(["-c", "while :; do kill -0 $$; done"])
        .spawn()
        .expect("a shell starts");
    let pid = busy.id().to_string();
    let output = start(&["--seconds", "2", "--pid", &pid]).wait_with_output().expect("its output");
    busy.kill().expect("it can be killed");
    busy.wait().expect("its status");
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .map(|(_, name)| name)
        .filter(|name| !name.starts_with("calls"))
        .collect();
    assert!(!names.is_empty() && names.iter().all(|name| *name == "kill"), "{text}");
    assert!(text.ends_with("calls in all; nothing lost\n"), "{text}");
}

fn a_reader_that_leaves_early_ends_it_quietly() {
    let mut child = start(&[]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.ends_with(" calls/s\n"), "{first}");
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let status = child.wait().expect("its status");
    assert!(status.success() && said.is_empty(), "{status}: {said}");
}

fn an_ordinary_user_is_told_what_is_missing() {
    let output = as_nobody("syscall_rates", &["--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("missing  privilege"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

fn a_command_line_that_is_not_understood_exits_with_ex_usage() {
    for arguments in [["--interval", "0"], ["--pid", "me"], ["--top", "-1"]] {
        let output = start(&arguments).wait_with_output().expect("its output");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
    }
}
