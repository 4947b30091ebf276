//! What ends a session, and what becomes of its command then?
//!
//! Every test leaves nothing behind, which is checked; so they run one after the other.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dtrace_consumer::session::{EndedBy, Traced};
use dtrace_consumer::{Error, Failure, Outcome, Session, StopHandle, run_synchronous, trace};
use dtrace_test_support::consumer::{Consumer, Stage};
use dtrace_test_support::kernel::EXIT;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, command_line, orphans_ended, wait_until};
use dtrace_test_support::sessions::next_session_works;
use dtrace_test_support::traced::traced_program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [
        stop_ends_the_command,
        a_command_that_ignores_sigterm_is_killed,
        a_session_says_what_ended_it,
        an_abort_kills_the_command_and_discards_the_rest,
        a_command_goes_on_when_a_handler_fails,
        a_command_goes_on_when_its_worker_dies,
    ],
    long: [
        a_command_that_is_stopped_ends_with_its_session,
        stop_ends_a_command_that_outlives_exit,
        the_deadline_ends_a_command_and_everything_before_is_delivered,
        a_deadline_that_comes_before_tracing_is_on_ends_the_session_at_once,
        a_start_that_exceeds_the_deadline_is_an_error,
        a_replay_has_a_deadline,
        an_abort_before_the_start_is_an_error,
        an_abort_returns_what_is_known,
        one_handle_ends_several_sessions,
        a_command_goes_on_when_a_row_does_not_fit,
        a_failed_session_with_a_command_can_be_stopped,
        a_command_does_not_outlive_a_consumer_that_is_killed,
    ],
    needs: [Tracing, ProbesInPrograms],
    long: [
        stop_ends_a_command_whose_functions_are_traced,
        a_command_whose_functions_are_traced_goes_on_when_a_handler_fails,
        a_command_whose_functions_are_traced_does_not_outlive_a_consumer_that_is_killed,
    ],
    // Elsewhere nothing of the program that is traced waits before its `main`.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    long: [a_command_that_never_gets_to_its_main_does_not_outlast_the_deadline],
}

const ONE_RECORD: &str = "BEGIN { trace($target); }";

/// A command that waits until it is killed, or its input ends.
fn waiting() -> Command {
    let words = traced_program("wait", 0);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped());
    command
}

/// Traces a command whose input stays open until the result is dropped.
fn endless(script: &str) -> (Session<Traced>, std::io::PipeWriter) {
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    let mut command = waiting();
    command.stdin(theirs);
    (run_synchronous(script, command), ours)
}

fn status(outcome: &Outcome) -> ExitStatus {
    outcome.command.expect("the command has ended").status
}

fn stop_ends_the_command() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let thread = session.chew(|_| Ok(())).spawn().expect("tracing can be started");
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!((outcome.firings, outcome.ended_by), (1, EndedBy::Stop));
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    drop(input);
    guard.check();
}

fn a_command_that_ignores_sigterm_is_killed() {
    let (_lock, guard) = alone();
    let script = format!("syscall::{EXIT}:entry /pid == $target/ {{ }}");
    let deaf = ["sh", "-c", "trap '' TERM; exec sleep 1000"];
    let thread = run_synchronous(script, deaf).spawn().expect("tracing can be started");
    wait_until("it ignores the signal", || {
        children().iter().any(|pid| command_line(*pid).starts_with(b"sleep"))
    });
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGKILL as i32));
    guard.check();
}

fn a_command_that_is_stopped_ends_with_its_session() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let target = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&target);
    let thread = session
        .rows(move |pid: u64| {
            seen.store(pid, Ordering::Relaxed);
            Ok(())
        })
        .spawn()
        .expect("tracing can be started");
    wait_until("BEGIN has fired", || target.load(Ordering::Relaxed) != 0);
    let pid = Pid::from_raw(i32::try_from(target.load(Ordering::Relaxed)).expect("a pid"));
    kill(pid, Signal::SIGSTOP).expect("it is there");
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    drop(input);
    guard.check();
}

fn stop_ends_a_command_that_outlives_exit() {
    let (_lock, guard) = alone();
    let (session, input) = endless("BEGIN { exit(3); } END { trace(1); }");
    let stop = StopHandle::new();
    let handle = stop.clone();
    let outcome = session
        .stop_handle(&stop)
        .on_stop(|_| Ok(()))
        .chew(move |firing| {
            // After exit(), so that the session waits only for the command.
            if firing.probe().name == "END" {
                handle.stop();
            }
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(outcome.exit, Some(3));
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    drop(input);
    guard.check();
}

fn stop_ends_a_command_whose_functions_are_traced() {
    let (_lock, guard) = alone();
    let (session, input) = endless("pid$target:libc.so*:read:entry { trace(arg0); }");
    let thread = session.chew(|_| Ok(())).spawn().expect("tracing can be started");
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    drop(input);
    guard.check();
}

fn a_session_says_what_ended_it() {
    let (_lock, guard) = alone();
    let ended_by = |result: Result<Outcome, Failure>| {
        result.map_or_else(|failure| failure.outcome.ended_by, |outcome| outcome.ended_by)
    };
    let command = run_synchronous("BEGIN { }", ["true"]).run();
    assert_eq!(ended_by(command), EndedBy::Command);
    assert_eq!(ended_by(trace("BEGIN { exit(0); }").run()), EndedBy::Script);
    let exit_before_the_command = run_synchronous("BEGIN { exit(0); }", ["sleep", "1"]).run();
    assert_eq!(ended_by(exit_before_the_command), EndedBy::Script);
    assert_eq!(ended_by(trace("BEGIN { foo(); }").run()), EndedBy::Failure);
    let failing = trace("BEGIN { trace(1); exit(0); }").chew(|_| Err("no".into())).run();
    assert_eq!(ended_by(failing), EndedBy::Failure);
    guard.check();
}

fn the_deadline_ends_a_command_and_everything_before_is_delivered() {
    let (_lock, guard) = alone();
    let (session, input) = endless("BEGIN { trace(1); } END { trace(2); }");
    let mut seen = Vec::new();
    let outcome = session
        // From the call on, so that it leaves time for a slow start.
        .deadline(Duration::from_secs(20))
        .rows(|n: i32| {
            seen.push(n);
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!((seen, outcome.ended_by), (vec![1, 2], EndedBy::Deadline));
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    drop(input);
    guard.check();
}

fn a_deadline_that_comes_before_tracing_is_on_ends_the_session_at_once() {
    let (_lock, guard) = alone();
    let outcome = trace("BEGIN { trace(1); }").deadline(Duration::ZERO).run();
    match outcome {
        Ok(outcome) => assert_eq!(outcome.ended_by, EndedBy::Deadline),
        // A start that takes five seconds.
        Err(failure) => assert!(matches!(failure.error, Error::Deadline { .. }), "{failure}"),
    }
    guard.check();
}

fn a_start_that_exceeds_the_deadline_is_an_error() {
    let (_lock, guard) = alone();
    let (session, input) = endless("BEGIN { }");
    // It says nothing for as long as its standard input, the channel, lasts.
    let limit = Duration::from_millis(100);
    let result = session.worker("/usr/bin/tail").deadline(limit).run();
    let Err(Failure { error: Error::Deadline { limit: named }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(named, limit);
    assert!(outcome.command.is_none(), "the command was never released");
    drop(input);
    next_session_works();
    guard.check();
}

#[cfg(target_os = "linux")]
fn a_command_that_never_gets_to_its_main_does_not_outlast_the_deadline() {
    let (_lock, guard) = alone();
    // It is held at its main, for its probes, and waits in an initialiser before that.
    let (session, input) = endless("shop$target:::sale { }");
    let result = session.deadline(Duration::from_millis(100)).run();
    assert!(matches!(result, Err(Failure { error: Error::Deadline { .. }, .. })), "{result:?}");
    drop(input);
    guard.check();
}

fn a_replay_has_a_deadline() {
    let (_lock, guard) = alone();
    let recording = tempfile::NamedTempFile::new().expect("a file");
    trace("BEGIN { trace(1); exit(0); } END { trace(2); }")
        .record(recording.path())
        .chew(|_| Ok(()))
        .run()
        .expect("the session comes to its end");
    let outcome = dtrace_consumer::replay(recording.path())
        // Time to read the first firing, also on a slow machine.
        .deadline(Duration::from_millis(300))
        .chew(|_| {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        })
        .run()
        .expect("the replay comes to its end");
    assert_eq!((outcome.firings, outcome.ended_by), (1, EndedBy::Deadline));
    let whole = dtrace_consumer::replay(recording.path()).run().expect("it is a recording");
    assert_eq!(whole.ended_by, EndedBy::Recording);
    drop(recording);
    guard.check();
}

fn an_abort_kills_the_command_and_discards_the_rest() {
    let (_lock, guard) = alone();
    let (session, input) = endless("BEGIN { trace(1); } BEGIN { trace(2); }");
    let stop = StopHandle::new();
    let handle = stop.clone();
    let mut seen = Vec::new();
    let result = session
        .stop_handle(&stop)
        .rows(|n: i32| {
            seen.push(n);
            handle.abort();
            Ok(())
        })
        .run();
    let Err(Failure { error: Error::Aborted, outcome }) = result else { panic!("{result:?}") };
    // The second record had arrived, too.
    assert_eq!((seen, outcome.firings), (vec![1], 1));
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGKILL as i32));
    drop(input);
    next_session_works();
    guard.check();
}

fn an_abort_before_the_start_is_an_error() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let stop = StopHandle::new();
    stop.abort();
    let result = session.stop_handle(&stop).run();
    assert!(matches!(result, Err(Failure { error: Error::Aborted, .. })), "{result:?}");
    drop(input);
    guard.check();
}

fn an_abort_returns_what_is_known() {
    let (_lock, guard) = alone();
    let thread = trace(ONE_RECORD.replace("$target", "1")).spawn().expect("tracing can be started");
    let outcome = thread.abort();
    assert!(outcome.session.is_some());
    next_session_works();
    guard.check();
}

fn one_handle_ends_several_sessions() {
    let (_lock, guard) = alone();
    let stop = StopHandle::new();
    let start = || trace("BEGIN { }").stop_handle(&stop).spawn().expect("tracing can be started");
    let threads = [start(), start()];
    // The end of one command is not the end of the other sessions.
    run_synchronous("BEGIN { }", ["true"]).stop_handle(&stop).run().expect("it ends");
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    stop.stop();
    for thread in threads {
        let outcome = thread.join().expect("the session comes to its end");
        assert_eq!(outcome.ended_by, EndedBy::Stop);
    }
    guard.check();
}

/// Checks that the command of a failed session ended by itself, once its input ended.
fn went_on(result: Result<Outcome, Failure>) -> Error {
    let Failure { error, outcome } = result.expect_err("a handler failed");
    assert!(status(&outcome).success(), "{:?}", outcome.command);
    error
}

fn a_command_goes_on_when_a_handler_fails() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let mut input = Some(input);
    let result = session
        .chew(|_| {
            input.take();
            Err("no".into())
        })
        .run();
    assert!(matches!(went_on(result), Error::Callback { closure: "chew", .. }));
    guard.check();
}

fn a_command_goes_on_when_a_row_does_not_fit() {
    let (_lock, guard) = alone();
    let (session, input) = endless("BEGIN { trace(\"text\"); }");
    let mut input = Some(input);
    let result = session
        .chew(|_| {
            input.take();
            Ok(())
        })
        .rows(|_: i32| Ok(()))
        .run();
    assert!(matches!(went_on(result), Error::Row { .. }));
    guard.check();
}

fn a_command_goes_on_when_its_worker_dies() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let mut input = Some(input);
    let result = session
        .rows(|target: i32| {
            let worker = children().into_iter().find(|pid| *pid != target);
            kill(Pid::from_raw(worker.expect("the worker is there")), Signal::SIGKILL)?;
            input.take();
            Ok(())
        })
        .run();
    assert!(matches!(went_on(result), Error::WorkerDied { .. }));
    // A worker that is killed cannot tidy up; the next one does it.
    next_session_works();
    guard.check();
}

fn a_command_whose_functions_are_traced_goes_on_when_a_handler_fails() {
    let (_lock, guard) = alone();
    let (theirs, mut ours) = std::io::pipe().expect("a pipe");
    // Loading a library is what libdtrace sets breakpoints for.
    let words = traced_program("load", 1);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(theirs).stdout(Stdio::null());
    ours.write_all(b"x").expect("an open pipe");
    // The function is libc's, or libsys's since FreeBSD 15.
    let script = "pid$target:lib*:getppid:entry { trace(1); }";
    let mut input = Some(ours);
    let result = run_synchronous(script, command)
        .chew(|_| {
            if let Some(mut input) = input.take() {
                input.write_all(b"xxx")?;
            }
            Err("no".into())
        })
        .run();
    assert!(matches!(went_on(result), Error::Callback { .. }));
    guard.check();
}

fn a_failed_session_with_a_command_can_be_stopped() {
    let (_lock, guard) = alone();
    let (session, input) = endless(ONE_RECORD);
    let stop = StopHandle::new();
    let handle = stop.clone();
    let stopping = std::thread::spawn(move || {
        wait_until("the worker has ended", || children().len() == 1);
        handle.stop();
    });
    let result = session
        .stop_handle(&stop)
        .on_start(|_| {
            wait_until("worker and command are there", || children().len() == 2);
            Ok(())
        })
        .chew(|_| Err("no".into()))
        .run();
    let Failure { error, outcome } = result.expect_err("a handler failed");
    assert!(matches!(error, Error::Callback { .. }), "{error}");
    assert_eq!(status(&outcome).signal(), Some(Signal::SIGTERM as i32));
    stopping.join().expect("it stops the session");
    drop(input);
    guard.check();
}

fn a_command_does_not_outlive_a_consumer_that_is_killed() {
    // Elsewhere a program that never answers is asked for the self-check, before there is a command.
    let stages = [Stage::Running, Stage::Symbols, Stage::Held];
    ends_with_its_consumer(&stages[..if cfg!(target_os = "linux") { 3 } else { 2 }]);
}

fn a_command_whose_functions_are_traced_does_not_outlive_a_consumer_that_is_killed() {
    ends_with_its_consumer(&[Stage::Functions]);
}

/// Kills consumers with a command, each at one stage.
fn ends_with_its_consumer(stages: &[Stage]) {
    let (_lock, guard) = alone();
    for stage in stages {
        let mut words = traced_program("consumer", "");
        words.pop();
        // The command would go on for as long as its input is open.
        let input = Consumer::start(words, *stage, "wait").kill();
        orphans_ended();
        drop(input);
        next_session_works();
    }
    guard.check();
}
