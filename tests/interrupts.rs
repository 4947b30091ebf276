//! Does Ctrl-C end the example `dtrace`, whatever its worker and its reader do?

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{Killed, children_of, wait_until, wait_until_gone};
use dtrace_test_support::programs::example;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [a_second_one_ends_it_although_the_worker_is_stuck],
    long: [a_second_one_ends_it_although_nobody_reads_its_output],
}

/// A process that goes on where the test fails, so that it ends with its consumer.
struct Stopped(i32);

impl Stopped {
    fn stop(pid: i32) -> Stopped {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it runs");
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGCONT);
    }
}

/// Starts it, and waits for its first line.
fn start(script: &str) -> (Killed, BufReader<ChildStdout>) {
    let mut command = Command::new(example("dtrace"));
    command.args(["-q", "-n", script]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(command.spawn().expect("the program starts"));
    let mut output = BufReader::new(child.0.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    assert_eq!(line, "on\n");
    (child, output)
}

/// Presses Ctrl-C twice, and waits for the end.
fn interrupt_twice(mut child: Killed) {
    let pid = Pid::from_raw(child.0.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("it runs");
    // Long enough to see that it goes on.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.0.try_wait().expect("a child").is_none(), "the first one has ended it");
    let mut status = None;
    wait_until("it ends", || {
        // Two that arrive before it takes the first are one, so there may be more. It is not waited for yet.
        kill(pid, Signal::SIGINT).expect("it is a child");
        status = child.0.try_wait().expect("a child");
        status.is_some()
    });
    assert!(!status.is_some_and(|status| status.success()), "{status:?}");
}

fn a_second_one_ends_it_although_the_worker_is_stuck() {
    let (child, output) = start("BEGIN { printf(\"on\\n\"); }");
    let workers: Vec<i32> = children_of(child.0.id()).collect();
    let [worker] = workers[..] else { panic!("{workers:?}") };
    let stopped = Stopped::stop(worker);
    interrupt_twice(child);
    drop(stopped);
    wait_until_gone(&[worker]);
    drop(output);
}

fn a_second_one_ends_it_although_nobody_reads_its_output() {
    let script =
        "BEGIN { printf(\"on\\n\"); } syscall:::entry { printf(\"%s %d\\n\", probefunc, tid); }";
    let (child, output) = start(script);
    let workers: Vec<i32> = children_of(child.0.id()).collect();
    wait_until("the pipe is full", || {
        let place = fs::read_to_string(format!("/proc/{}/wchan", child.0.id()));
        place.is_ok_and(|place| place.contains("pipe_w"))
    });
    interrupt_twice(child);
    wait_until_gone(&workers);
    drop(output);
}
