//! Does Ctrl-C end the example `dtrace`, whatever its worker and its reader do?

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children_of, wait_until, wait_until_gone};
use dtrace_test_support::programs::example;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [a_second_one_ends_it_although_the_worker_is_stuck],
    long: [a_second_one_ends_it_although_nobody_reads_its_output],
}

/// Starts it, and waits for its first line.
fn start(script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(example("dtrace"));
    command.args(["-q", "-n", script]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    assert_eq!(line, "on\n");
    (child, output)
}

/// Presses Ctrl-C twice, and waits for the end.
fn interrupt_twice(mut child: Child) {
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("it runs");
    // Two signals at once are one.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().expect("a child").is_none(), "the first one has ended it");
    kill(pid, Signal::SIGINT).expect("it runs");
    let mut status = None;
    wait_until("it ends", || {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    assert!(!status.is_some_and(|status| status.success()), "{status:?}");
}

fn a_second_one_ends_it_although_the_worker_is_stuck() {
    let (child, output) = start("BEGIN { printf(\"on\\n\"); }");
    let workers: Vec<i32> = children_of(child.id()).collect();
    let [worker] = workers[..] else { panic!("{workers:?}") };
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("the worker runs");
    interrupt_twice(child);
    kill(Pid::from_raw(worker), Signal::SIGCONT).expect("the worker was stopped");
    wait_until_gone(&[worker]);
    drop(output);
}

fn a_second_one_ends_it_although_nobody_reads_its_output() {
    let script =
        "BEGIN { printf(\"on\\n\"); } syscall:::entry { printf(\"%s %d\\n\", probefunc, tid); }";
    let (child, output) = start(script);
    let workers: Vec<i32> = children_of(child.id()).collect();
    wait_until("the pipe is full", || {
        let place = fs::read_to_string(format!("/proc/{}/wchan", child.id()));
        place.is_ok_and(|place| place.contains("pipe_w"))
    });
    interrupt_twice(child);
    wait_until_gone(&workers);
    drop(output);
}
