//! What reaches the user's process of what happens to libdtrace and to the worker?
//!
//! A typed error with what is known, and the next session works; nothing else.

use std::process::{Command, Stdio};
use std::time::Duration;

use dtrace_consumer::session::Traced;
use dtrace_consumer::{
    Consumer, ConsumerThread, Error, Failure, Outcome, Session, run_synchronous, trace,
};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, no_children};
use dtrace_test_support::sessions::next_session_works;
use dtrace_test_support::traced::traced_program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [
        what_was_delivered_before_a_crash_stays_delivered,
        a_full_disk_under_a_recording_is_told_and_costs_no_data,
        a_pipe_that_is_closed_at_the_other_end_is_the_closures_error,
    ],
    long: [
        an_action_over_which_libdtrace_goes_round_in_a_circle_ends_the_session,
        a_worker_that_is_silent_from_the_beginning_is_told_and_killed,
        a_worker_that_stays_stopped_is_told_when_the_session_is_to_end,
        a_worker_that_is_gone_when_it_is_written_to_does_not_kill_its_consumer,
        an_exit_a_crash_or_an_abort_in_libdtrace_is_an_error_that_says_so,
    ],
}

/// How long a worker may be silent where the test wants it to be.
const LIMIT: Duration = Duration::from_secs(2);

/// How the worker ended, and its last words.
fn death(session: Session<Traced, impl Consumer>) -> (String, String, Outcome) {
    match session.run() {
        Err(Failure { error: Error::WorkerDied { status, last_words }, outcome }) => {
            (status, last_words, *outcome)
        }
        other => panic!("{other:?}"),
    }
}

fn an_exit_a_crash_or_an_abort_in_libdtrace_is_an_error_that_says_so() {
    let (_lock, guard) = alone();
    for (script, how) in [
        // Its thread for BEGIN and END cannot go to that CPU, and calls exit(1).
        ("#pragma D option cpu=9999\nBEGIN { trace(1); }", "exit status: 1"),
        // It divides by the normal when it prints.
        ("BEGIN { @ = sum(7); normalize(@, 0); printa(@); }", "SIGFPE"),
        // BEGIN fires in the worker, which so gets the signals of an assertion and of a bad access.
        ("#pragma D option destructive\nBEGIN { raise(6); }", "SIGABRT"),
        ("#pragma D option destructive\nBEGIN { raise(11); }", "SIGSEGV"),
    ] {
        let (status, ..) = death(run_synchronous(script, ["true"]).out(|_| Ok(())));
        assert!(status.contains(how), "{script}: {status}");
        next_session_works();
    }
    no_children();
    next_session_works();
    guard.check();
}

fn what_was_delivered_before_a_crash_stays_delivered() {
    let (_lock, guard) = alone();
    let mut text = String::new();
    let (_, _, outcome) = death(
        run_synchronous(
            "BEGIN { trace(1); } END { @ = sum(7); normalize(@, 0); printa(@); }",
            ["true"],
        )
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        }),
    );
    assert_eq!((text.trim(), outcome.firings), ("1", 1));
    assert!(outcome.session.is_some() && outcome.command.is_some(), "{outcome:?}");
    // It takes a while to die, and cannot tidy up; the next one does it.
    no_children();
    next_session_works();
    guard.check();
}

fn an_action_over_which_libdtrace_goes_round_in_a_circle_ends_the_session() {
    let (_lock, guard) = alone();
    let result = run_synchronous("BEGIN { pcap(0, 1); }", ["true"]).out(|_| Ok(())).run();
    let Err(Failure { error: Error::Libdtrace { message, .. }, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(message.contains("a record was delivered twice"), "{message}");
    next_session_works();
    guard.check();
}

fn a_full_disk_under_a_recording_is_told_and_costs_no_data() {
    let (_lock, guard) = alone();
    let mut seen = 0;
    let result = run_synchronous("BEGIN { trace(1); } END { trace(2); }", ["true"])
        .record("/dev/full")
        .chew(|_| {
            seen += 1;
            Ok(())
        })
        .run();
    let Err(Failure { error: Error::Recording { path, cause }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(path.to_str(), Some("/dev/full"));
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!((seen, outcome.firings), (2, 2));
    assert!(outcome.command.is_some_and(|command| command.finished()), "{outcome:?}");
    guard.check();
}

fn a_pipe_that_is_closed_at_the_other_end_is_the_closures_error() {
    let (_lock, guard) = alone();
    let (theirs, mut ours) = std::io::pipe().expect("a pipe");
    drop(theirs);
    let result = run_synchronous("BEGIN { trace(1); }", ["true"])
        .out(|output| Ok(std::io::Write::write_all(&mut ours, output.bytes())?))
        .run();
    let Err(Failure { error: Error::Callback { closure, cause }, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(closure, "out");
    let cause = cause.downcast::<std::io::Error>().expect("the pipe's error");
    assert_eq!(cause.kind(), std::io::ErrorKind::BrokenPipe);
    drop(ours);
    guard.check();
}

fn a_worker_that_is_silent_from_the_beginning_is_told_and_killed() {
    let (_lock, guard) = alone();
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    // It says nothing for as long as its standard input, the channel, lasts.
    let silent = || trace("BEGIN { }").worker("/usr/bin/tail").silence_limit(LIMIT);
    let words = traced_program("wait", 0);
    let mut waiting = std::process::Command::new(&words[0]);
    waiting.args(&words[1..]).stdin(theirs);
    let result = silent().command(waiting).run();
    let Err(Failure { error: Error::WorkerSilent { .. }, .. }) = result else {
        panic!("{result:?}")
    };
    let result = silent().check();
    assert!(matches!(result, Err(Error::WorkerSilent { .. })), "{result:?}");
    drop(ours);
    next_session_works();
    guard.check();
}

fn a_worker_that_stays_stopped_is_told_when_the_session_is_to_end() {
    let (_lock, guard) = alone();
    let thread = ConsumerThread::builder("BEGIN { trace(1); } END { trace(2); }")
        .silence_limit(LIMIT)
        .chew(|_| Ok(()))
        .spawn()
        .expect("tracing can be started");
    let [worker] = children()[..] else { panic!("{:?}", children()) };
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("the worker is there");
    let result = thread.stop();
    let Err(Failure { error: Error::WorkerSilent { .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert!(outcome.session.is_some());
    // It takes a while to die, and cannot tidy up; the next one does it.
    no_children();
    next_session_works();
    guard.check();
}

fn a_worker_that_is_gone_when_it_is_written_to_does_not_kill_its_consumer() {
    let (_lock, guard) = alone();
    let mut words = traced_program("consumer", "broken").into_iter();
    let output = Command::new(words.next().expect("the program"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the consumer can be started");
    assert!(output.status.success(), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(errors.lines().count() == 20 && errors.lines().all(|l| l == "true"), "{output:?}");
    guard.check();
}
