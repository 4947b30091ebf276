//! Does a session distinguish a worker that hangs while it traces from one that has nothing to
//! deliver?
//!
//! A worker that traces may be silent for a minute, so these tests take longer than that.

use std::fs;
use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, no_children};
use dtrace_test_support::sessions::next_session_works;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    serial,
    needs: [Tracing],
    long: [
        a_worker_that_hangs_while_tracing_is_an_error_and_its_command_runs_on,
        a_worker_that_waits_long_for_data_is_no_error,
    ],
}

fn is_shell(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sh")
}

fn a_worker_that_hangs_while_tracing_is_an_error_and_its_command_runs_on() {
    let (_lock, guard) = alone();
    let result = run_synchronous("BEGIN { trace(1); }", ["sh", "-c", "sleep 75; exit 4"])
        .chew(|_| {
            let worker = children().into_iter().find(|pid| !is_shell(*pid)).expect("a worker");
            kill(Pid::from_raw(worker), Signal::SIGSTOP)?;
            Ok(())
        })
        .run();
    let Err(Failure { error: Error::WorkerSilent { .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(outcome.firings, 1);
    assert_eq!(outcome.command.expect("it has ended").status.code(), Some(4));
    // It was killed, and could not clean up; the next one does that.
    no_children();
    next_session_works();
    guard.check();
}

fn a_worker_that_waits_long_for_data_is_no_error() {
    let (_lock, guard) = alone();
    let outcome = trace("BEGIN { trace(1); } END { trace(2); }")
        // libdtrace does not return to the worker by itself for this long.
        .option("switchrate", "10m")
        .deadline(Duration::from_secs(80))
        .chew(|_| Ok(()))
        .run()
        .expect("the session comes to its end");
    assert_eq!((outcome.firings, outcome.ended_by), (2, EndedBy::Deadline));
    guard.check();
}
