//! Does a session distinguish a worker that hangs while it traces from one that has nothing to
//! deliver?
//!
//! A worker that traces may be silent for a minute, so this test takes longer than that.

use std::fs;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_stand_in::plan::{Event, Firing, Plan};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::put_stand_in;
use dtrace_test_support::processes::{children, no_children, wait_until_gone};
use dtrace_test_support::sessions::next_session_works;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    long: [a_worker_that_hangs_while_tracing_is_an_error_and_one_that_waits_for_data_is_not],
}

/// The limit for a worker that traces is a minute at least. All sessions take so long at the same time.
fn a_worker_that_hangs_while_tracing_is_an_error_and_one_that_waits_for_data_is_not() {
    let (_lock, guard) = alone();
    let (go_on, hangs) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Until then, there must be no other worker.
            hangs.recv().expect("the other session has begun");
            std::thread::scope(|scope| {
                scope.spawn(hang_in_libdtrace);
                wait_long_for_data();
            });
        });
        hang_while_tracing(go_on);
    });
    // The one that hung was killed, and could not clean up; the next one does that.
    no_children();
    next_session_works();
    guard.check();
}

fn is_shell(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sh")
}

/// The command runs on, and ends only after the worker that hangs has been killed.
fn hang_while_tracing(hangs: Sender<()>) {
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    let (tell, stopped) = mpsc::channel();
    let watcher = std::thread::spawn(move || {
        // The command's input ends also where this fails.
        let _ours = ours;
        let worker = stopped.recv().expect("the worker is stopped");
        wait_until_gone(&[worker]);
    });
    let result = run_synchronous("BEGIN { trace(1); }", ["sh", "-c", "read line; exit 4"])
        .configure_command(|command| {
            command.stdin(theirs);
        })
        .chew(move |_| {
            let worker = children().into_iter().find(|pid| !is_shell(*pid)).expect("a worker");
            kill(Pid::from_raw(worker), Signal::SIGSTOP)?;
            tell.send(worker)?;
            Ok(hangs.send(())?)
        })
        .run();
    watcher.join().expect("the worker is killed within two minutes");
    let Err(Failure { error: Error::WorkerSilent { .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(outcome.firings, 1);
    assert_eq!(outcome.command.expect("it has ended").status.code(), Some(4));
}

/// Only the thread that calls libdtrace hangs. The worker's others run on, and must not report that it is alive.
fn hang_in_libdtrace() {
    let prefix = tempfile::tempdir().expect("a temporary directory");
    put_stand_in(prefix.path());
    let firing = || Event::Firing(Firing { statement: 1, ..Firing::default() });
    // Twice the limit, because a lower one counts as a minute while it traces.
    let rounds = vec![vec![firing()], vec![Event::Pause(120_000)], vec![firing()]];
    Plan { rounds, ..Plan::default() }.put(prefix.path());
    let session = trace("BEGIN { }").prefix(prefix.path()).silence_limit(Duration::from_secs(20));
    let result = session.report(|_| Ok(())).chew(|_| Ok(())).run();
    let Err(Failure { error: Error::WorkerSilent { .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(outcome.firings, 1);
}

fn wait_long_for_data() {
    let outcome = trace("BEGIN { trace(1); } END { trace(2); }")
        // libdtrace does not return to the worker by itself for this long.
        .option("switchrate", "10m")
        .deadline(Duration::from_secs(68))
        .chew(|_| Ok(()))
        .run()
        .expect("the session comes to its end");
    assert_eq!((outcome.firings, outcome.ended_by), (2, EndedBy::Deadline));
}
