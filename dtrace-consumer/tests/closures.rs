//! What becomes of a session whose closure fails, blocks or starts something itself?

use std::io::Read;
use std::sync::Arc;

use dtrace_consumer::session::{Live, Traced};
use dtrace_consumer::{
    CallbackResult, ConsumerThread, Error, Failure, Outcome, Session, run_synchronous, trace,
};
use dtrace_test_support::sessions::{next_session_works, values_of};
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::{Need, live_tests};
use parking_lot::Mutex;

live_tests! {
    needs: [Tracing],
    tests: [
        an_error_of_the_closure_for_drops_ends_the_run,
        what_a_slow_closure_misses_is_counted,
        what_was_delivered_before_a_closure_failed_is_in_the_outcome,
        a_row_that_does_not_fit_is_an_error_of_its_probe,
        a_closure_can_run_another_session,
        a_closure_can_stop_its_own_session,
    ],
    long: [
        a_closure_can_drop_stop_or_join_the_handle_of_its_own_thread,
        a_session_can_be_dropped_stopped_or_joined_on_any_thread,
        several_threads_can_stop_a_session_at_once,
        a_session_outlasts_a_closure_that_is_away_for_long,
        an_error_or_panic_of_a_closure_ends_the_run_with_it,
        a_panic_of_a_closure_ends_the_thread_with_it,
    ],
    needs: [],
    tests: [
        what_threads_share_can_be_sent_and_shared,
    ],
}

/// Fires everything that there is a closure for but drops; `trace(2)` makes a row and a record.
const SCRIPT: &str = r#"BEGIN { trace(2); @a = count(); setopt("switchrate", "10ms"); }
    BEGIN { trace(*(int *)0); }"#;

#[derive(Debug, Clone, Copy)]
enum How {
    Fails,
    Panics,
}

impl How {
    fn go(self) -> CallbackResult {
        match self {
            How::Fails => Err("as the test wants it".into()),
            How::Panics => panic!("as the test wants it"),
        }
    }
}

const CLOSURES: [&str; 16] = [
    "on_start",
    "walk",
    "walk_joined",
    "walked",
    "out",
    "chew",
    "chewrec",
    "rows",
    "rows_for",
    "walk_rows",
    "walk_rows_for",
    "report",
    "on_fault",
    "on_option",
    "on_process",
    "on_stop",
];

/// The closures that are called here.
fn closures() -> impl Iterator<Item = &'static str> {
    let is_called = |name: &&str| *name != "on_fault" || Need::Faults.check().is_ok();
    CLOSURES.into_iter().filter(is_called)
}

/// Starts a session with one closure by `$run`, whatever the closure's type is.
macro_rules! with_closure {
    ($session:expr, $run:ident, $name:expr, $how:expr) => {{
        let (session, how) = ($session, $how);
        match $name {
            "on_start" => session.on_start(move |_| how.go()).$run(),
            "walk" => session.walk(move |_| how.go()).$run(),
            "walk_joined" => session.walk_joined(["a"], move |_| how.go()).$run(),
            "walked" => session.walked(move || how.go()).$run(),
            "out" => session.out(move |_| how.go()).$run(),
            "chew" => session.chew(move |_| how.go()).$run(),
            "chewrec" => session.chewrec(move |_| how.go()).$run(),
            "rows" => session.rows(move |(_,): (i32,)| how.go()).$run(),
            "rows_for" => session.rows_for("BEGIN", move |_: i32| how.go()).$run(),
            "walk_rows" => session.walk_rows(move |_: i64| how.go()).$run(),
            "walk_rows_for" => session.walk_rows_for("@a", move |_: i64| how.go()).$run(),
            "report" => session.report(move |_| how.go()).$run(),
            "on_fault" => session.on_fault(move |_| how.go()).$run(),
            "on_option" => session.on_option(move |_| how.go()).$run(),
            "on_process" => session.on_process(move |_| how.go()).$run(),
            "on_stop" => session.on_stop(move |_| how.go()).$run(),
            other => panic!("{other}"),
        }
    }};
}

/// The error names the closure, and what was known is kept.
fn check(name: &str, how: How, result: Result<Outcome, Failure>) -> Outcome {
    let Err(Failure { error, outcome }) = result else { panic!("{name}: {result:?}") };
    match (how, &error) {
        (How::Fails, Error::Callback { closure, cause }) => {
            assert_eq!(*closure, name);
            assert_eq!(cause.to_string(), "as the test wants it");
        }
        (How::Panics, Error::Panicked { closure, message }) => {
            assert_eq!(*closure, name);
            assert_eq!(message, "as the test wants it");
        }
        _ => panic!("{name} {how:?}: {error:?}"),
    }
    assert!(error.to_string().contains(name), "{error}");
    *outcome
}

fn an_error_or_panic_of_a_closure_ends_the_run_with_it() {
    for how in [How::Fails, How::Panics] {
        for name in closures() {
            // The end of a command would end the session before the process's end is told.
            let with_command = name != "on_process";
            let result = if with_command {
                with_closure!(run_synchronous(SCRIPT, ["true"]), run, name, how)
            } else {
                with_closure!(trace(SCRIPT).create(["true"]), run, name, how)
            };
            let outcome = check(name, how, result);
            assert!(outcome.session.is_some(), "{name}");
            let ran = name != "on_start";
            assert_eq!(outcome.command.is_some(), ran, "{name}");
        }
    }
    next_session_works();
}

fn a_panic_of_a_closure_ends_the_thread_with_it() {
    for name in closures() {
        let result = if name == "on_process" {
            let session = ConsumerThread::builder(SCRIPT).create(["true"]);
            with_closure!(session, spawn, name, How::Panics).and_then(ConsumerThread::join)
        } else {
            let session = ConsumerThread::builder(SCRIPT);
            with_closure!(session, spawn, name, How::Panics).and_then(ConsumerThread::stop)
        };
        check(name, How::Panics, result);
    }
    next_session_works();
}

/// A closure that is away until the command has ended, with buffers that are too small.
fn overwhelmed(session: Session<Traced>, then: impl FnMut() -> CallbackResult) -> Outcome {
    let (mut ended, theirs) = std::io::pipe().expect("a pipe");
    let mut then = then;
    let mut first = true;
    session
        .option("bufsize", "16k")
        .losses(dtrace_consumer::loss::LossPolicy::Count)
        .configure_command(|command| {
            command.stdout(theirs);
        })
        .chew(move |_| {
            if std::mem::take(&mut first) {
                ended.read_to_end(&mut Vec::new())?;
            }
            then()
        })
        .run()
        .expect("losses are no error unless that is asked for")
}

const CALLS: u64 = 20_000;

fn many_calls() -> Session<Traced> {
    run_synchronous(
        "syscall::getppid:entry /pid == $target/ { trace(1); }",
        traced_program("calls", CALLS),
    )
}

fn an_error_of_the_closure_for_drops_ends_the_run() {
    for how in [How::Fails, How::Panics] {
        let mut named = None;
        let mut ended = None;
        let (mut pipe, theirs) = std::io::pipe().expect("a pipe");
        let result = many_calls()
            .option("bufsize", "16k")
            .configure_command(|command| {
                command.stdout(theirs);
            })
            .chew(|_| {
                if ended.is_none() {
                    ended = Some(pipe.read_to_end(&mut Vec::new())?);
                }
                Ok(())
            })
            .on_drop(|report| {
                named = Some(report.kind);
                how.go()
            })
            .run();
        let outcome = check("on_drop", how, result);
        assert_eq!(named, Some(dtrace_consumer::loss::DropKind::Principal));
        assert!(outcome.losses.total_drops() > 0);
    }
}

fn what_a_slow_closure_misses_is_counted() {
    let mut delivered = 0;
    let outcome = overwhelmed(many_calls(), || {
        delivered += 1;
        Ok(())
    });
    assert_eq!(delivered, outcome.firings);
    assert_eq!(delivered + outcome.losses.total_drops(), CALLS, "{}", outcome.losses);
}

fn what_was_delivered_before_a_closure_failed_is_in_the_outcome() {
    let mut seen = 0;
    let result =
        run_synchronous("BEGIN { trace(1); } BEGIN { trace(2); } BEGIN { trace(3); }", ["true"])
            .chewrec(|record| {
                seen += 1;
                if record.get::<i32>()? == 2 { How::Fails.go() } else { Ok(()) }
            })
            .run();
    let outcome = check("chewrec", How::Fails, result);
    assert_eq!((seen, outcome.firings), (2, 2));
}

fn a_row_that_does_not_fit_is_an_error_of_its_probe() {
    let result =
        run_synchronous("BEGIN { trace(\"text\"); }", ["true"]).rows(|(_,): (i32,)| Ok(())).run();
    let Err(Failure { error: Error::Row(cause), .. }) = result else { panic!("{result:?}") };
    assert_eq!((cause.origin(), cause.position()), (Some("dtrace:::BEGIN"), Some(0)));
}

fn a_closure_can_run_another_session() {
    let mut inner = 0;
    let outcome = run_synchronous("BEGIN { trace(1); } END { trace(2); }", ["true"])
        .chew(|_| {
            inner += values_of("BEGIN { trace(1); }").len();
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!((inner, outcome.firings), (2, 2));
}

fn a_closure_can_stop_its_own_session() {
    let shared: Arc<Mutex<Option<dtrace_consumer::StopHandle>>> = Arc::default();
    let (own, held) = (shared.clone(), shared.lock());
    let thread = ConsumerThread::builder("BEGIN { trace(1); } END { trace(2); }")
        .chew(move |_| {
            if let Some(handle) = &*own.lock() {
                handle.stop();
                handle.stop();
            }
            Ok(())
        })
        .spawn()
        .expect("tracing can be started");
    let mut held = held;
    *held = Some(thread.stop_handle());
    drop(held);
    let outcome = thread.join().expect("the session comes to its end");
    assert_eq!(outcome.firings, 2);
}

fn a_closure_can_drop_stop_or_join_the_handle_of_its_own_thread() {
    for end in ENDS {
        let shared: Arc<Mutex<Option<ConsumerThread>>> = Arc::default();
        let own = shared.clone();
        let (tell, told) = crossbeam_channel::unbounded();
        let mut held = shared.lock();
        let thread = ConsumerThread::builder("BEGIN { trace(1); } END { trace(2); }")
            .chew(move |firing| {
                let handle = own.lock().take();
                handle.into_iter().for_each(end);
                tell.send(firing.probe().name.clone())?;
                Ok(())
            })
            .spawn()
            .expect("tracing can be started");
        *held = Some(thread);
        drop(held);
        // The channel ends with the closure, and so with the session.
        assert_eq!(told.iter().collect::<Vec<_>>(), ["BEGIN", "END"]);
    }
}

/// What can be done with the handle, each of which ends the session.
const ENDS: [fn(ConsumerThread); 3] = [
    drop,
    |thread| drop(thread.stop().expect("the session comes to its end")),
    |thread| {
        thread.stop_handle().stop();
        thread.join().expect("the session comes to its end");
    },
];

fn a_session_can_be_dropped_stopped_or_joined_on_any_thread() {
    for end in ENDS {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let probes = ended.clone();
        let thread = ConsumerThread::builder("BEGIN { trace(1); } END { trace(2); }")
            .chew(move |firing| {
                probes.lock().push(firing.probe().name.clone());
                Ok(())
            })
            .spawn()
            .expect("tracing can be started");
        std::thread::spawn(move || end(thread)).join().expect("it does not panic");
        assert_eq!(*ended.lock(), ["BEGIN", "END"]);
    }
}

fn several_threads_can_stop_a_session_at_once() {
    let thread = ConsumerThread::builder("BEGIN { trace(1); } END { trace(2); }")
        .chew(|_| Ok(()))
        .spawn()
        .expect("tracing can be started");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                thread.stop_handle().stop();
                let _ = thread.is_finished();
            });
        }
    });
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!(outcome.firings, 2);
}

fn what_threads_share_can_be_sent_and_shared() {
    fn send<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    send::<Session<Live>>();
    send::<dtrace_consumer::Event>();
    shared::<ConsumerThread>();
    shared::<dtrace_consumer::Events>();
    shared::<dtrace_consumer::StopHandle>();
    shared::<Outcome>();
    shared::<Error>();
    shared::<Failure>();
}

/// Data wait in the kernel's buffers, in the channel between the processes, and, the size of a piece, in
/// the worker. What does not fit there is dropped, and counted.
fn a_session_outlasts_a_closure_that_is_away_for_long() {
    let seconds = std::env::var("DTRACE_CONSUMER_AWAY").ok().and_then(|s| s.parse().ok());
    let mut away = Some(std::time::Duration::from_secs(seconds.unwrap_or(3)));
    let (mut delivered, mut counted) = (0, 0);
    let outcome = run_synchronous(
        "syscall::getppid:entry /pid == $target/ { trace(1); @ = count(); }",
        traced_program("calls", 100_000),
    )
    .losses(dtrace_consumer::loss::LossPolicy::Count)
    .option("bufsize", "64k")
    .chew(|_| {
        away.take().into_iter().for_each(std::thread::sleep);
        delivered += 1;
        Ok(())
    })
    .walk(|entry| {
        counted = u64::try_from(entry.number()?)?;
        Ok(())
    })
    .run()
    .expect("losses are no error unless that is asked for");
    assert!(outcome.command.is_some_and(|command| command.finished()));
    assert!(outcome.losses.total_drops() > 0, "{}", outcome.losses);
    let accounted = delivered + outcome.losses.total_drops();
    assert_eq!(accounted, 100_000, "{}", outcome.losses);
    // Elsewhere, a clause that finds no room in the buffer counts nothing, either.
    let expected = if cfg!(target_os = "linux") { 100_000 } else { delivered };
    assert_eq!(counted, expected, "{}", outcome.losses);
}
