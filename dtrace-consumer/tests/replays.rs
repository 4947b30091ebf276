//! What does a replay say of what its recording lacks, and of how its session failed?
//!
//! Nothing that a handler asks for is silently missing, and a replay fails as the session did.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dtrace_consumer::loss::{DropKind, LossPolicy};
use dtrace_consumer::session::{Live, Recorded, Traced};
use dtrace_consumer::{
    CallbackResult, Consumer, Error, Event, Failure, Firing, Outcome, Output, Session, StopHandle,
    Wants, replay, replay_from, run_synchronous, trace,
};
use dtrace_test_support::beginner::{RECORDING, beginner};
use dtrace_test_support::{Need, live_tests};
use tempfile::TempDir;

live_tests! {
    needs: [Tracing],
    tests: [
        a_recording_without_handlers_has_the_firings,
        a_replay_names_what_the_recording_lacks_before_it_delivers_anything,
        a_script_that_does_not_compile_fails_in_the_same_place_on_replay,
        a_recorder_that_is_killed_leaves_what_it_had_and_the_error_says_where_it_ends,
        a_join_of_an_unknown_aggregation_is_warned_of_on_replay_too,
    ],
    long: [
        a_consumer_that_demands_nothing_gets_what_there_is,
        a_recording_has_what_its_session_was_asked_for,
        sessions_that_fail_fail_with_the_same_error_on_replay,
        a_handlers_failure_is_not_the_recordings,
        an_option_that_does_not_exist_is_warned_of,
    ],
    needs: [],
    tests: [
        settings_that_make_no_sense_are_errors,
    ],
}

const SCRIPT: &str = r#"BEGIN { printf("%d", 7); @a = count(); printa(@a); }"#;

/// A place for one recording.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("recording")
    }

    fn replay(&self) -> Session<Recorded<'static>> {
        replay(self.path())
    }
}

/// A recording, and the result of its session.
type Run = (Place, Result<Outcome, Failure>);

fn recorded(session: Session<Traced, impl Consumer>) -> Run {
    let place = Place::new();
    let result = session.record(place.path()).run();
    (place, result)
}

fn plain() -> Session<Traced> {
    run_synchronous(SCRIPT, ["true"])
}

fn a_recording_without_handlers_has_the_firings() {
    let (place, result) = recorded(plain());
    result.expect("a session");
    let mut numbers: Vec<u32> = Vec::new();
    place
        .replay()
        .chew(|firing| {
            numbers
                .extend(firing.values().filter_map(|value| value.to_string().parse::<u32>().ok()));
            Ok(())
        })
        .run()
        .expect("a recording with firings");
    assert_eq!(numbers, [7]);
}

fn lacks(session: Session<Recorded<'_>, impl Consumer>) -> (&'static str, &'static str, String) {
    let mut started = false;
    let result = session
        .on_start(|_| {
            started = true;
            Ok(())
        })
        .run();
    assert!(!started);
    match result.map_err(|failure| failure.error) {
        Err(error @ Error::NotRecorded { what, wanted_by, .. }) => {
            (what, wanted_by, error.to_string())
        }
        other => panic!("{other:?}"),
    }
}

fn a_replay_names_what_the_recording_lacks_before_it_delivers_anything() {
    let (place, result) = recorded(plain());
    result.expect("a session");
    let (what, wanted_by, text) = lacks(place.replay().out(|_| Ok(())));
    assert_eq!((what, wanted_by), ("text", "`out`"));
    let reason = "has no text, which `out` needs (record the session with `formatted()`)";
    assert_eq!(text, format!("{} {reason}", place.path().display()));
    assert_eq!(lacks(place.replay().formatted()).1, "`formatted`");
    assert_eq!(lacks(place.replay().printed_entries()).0, "entries of `printa()`");
    assert_eq!(lacks(place.replay().report(|_| Ok(()))).0, "report");
    assert_eq!(lacks(place.replay().consumer(Everything::demanding(Wants::OUT))).0, "text");
}

/// Counts what it gets.
#[derive(Default)]
struct Everything {
    wants: Option<Wants>,
    firings: u32,
    outputs: u32,
}

impl Everything {
    fn demanding(wants: Wants) -> Everything {
        Everything { wants: Some(wants), ..Everything::default() }
    }
}

impl Consumer for Everything {
    fn wants(&self) -> Wants {
        self.wants.unwrap_or(Wants::EVERYTHING)
    }

    fn chew(&mut self, _: &Firing<'_>) -> CallbackResult {
        self.firings += 1;
        Ok(())
    }

    fn out(&mut self, _: &Output<'_>) -> CallbackResult {
        self.outputs += 1;
        Ok(())
    }
}

fn a_consumer_that_demands_nothing_gets_what_there_is() {
    let (place, result) = recorded(plain());
    result.expect("a session");
    for wants in [Wants::EVERYTHING, Wants::CHEW | Wants::OUT.if_recorded()] {
        let mut consumer = Everything::demanding(wants);
        place.replay().consumer(&mut consumer).run().expect("a recording without text");
        assert_eq!((consumer.firings, consumer.outputs), (1, 0));
    }
    let events: Vec<Event> = place.replay().events(16).expect("events").collect();
    assert!(events.iter().any(|event| matches!(event, Event::Firing(_))), "{events:?}");
}

fn a_recording_has_what_its_session_was_asked_for() {
    let (place, result) = recorded(plain().formatted().printed_entries().report(|_| Ok(())));
    result.expect("a session");
    let (mut text, mut entries, mut reports) = (String::new(), 0, 0);
    place
        .replay()
        .formatted()
        .printed_entries()
        .chewrec(|record| {
            entries += record.aggregated().count();
            Ok(())
        })
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .report(|_| {
            reports += 1;
            Ok(())
        })
        .run()
        .expect("a recording with everything");
    assert!(text.starts_with('7'), "{text}");
    assert_eq!((entries, reports), (1, 1));
}

fn a_script_that_does_not_compile_fails_in_the_same_place_on_replay() {
    let script = dtrace_consumer::Script::new("BEGIN\n{\n\ttrace(foo(1));\n}").named("first.d");
    let (place, result) = recorded(run_synchronous(script, ["true"]));
    let live = result.expect_err("it does not compile").error;
    let again = place.replay().run().expect_err("it did not compile").error;
    let (Error::Compile(live), Error::Compile(again)) = (live, again) else { panic!() };
    assert_eq!(again, live);
    assert_eq!((again.script.as_str(), again.line, again.column), ("first.d", Some(3), Some(7)));
}

fn sessions_that_fail_fail_with_the_same_error_on_replay() {
    let fault = "BEGIN { trace(*(int *)0); }";
    let dies = "#pragma D option destructive\nBEGIN { raise(6); }";
    let stop = StopHandle::new();
    let stopping = plain().stop_handle(&stop).on_start(move |_| {
        stop.abort();
        Ok(())
    });
    type Expected = fn(&Error) -> bool;
    let of_a_fault: Expected = if Need::Faults.check().is_ok() {
        |error| matches!(error, Error::Lost(losses) if losses.total_faults() == 1)
    } else {
        |error| matches!(error, Error::Lost(losses) if losses.dropped(DropKind::DoubleError) == 1)
    };
    let cases: [(Run, Expected); 7] = [
        (recorded(run_synchronous(fault, ["true"]).losses(LossPolicy::Fail)), of_a_fault),
        (
            recorded(run_synchronous(dies, ["true"])),
            |error| matches!(error, Error::WorkerDied { status, .. } if status.contains("SIGABRT")),
        ),
        (
            recorded(run_synchronous("BEGIN { system(\"true\"); }", ["true"])),
            |error| matches!(error, Error::Libdtrace { call, advice: Some(_), .. } if call == "dtrace_go"),
        ),
        (
            recorded(run_synchronous("BEGIN { foo(); }", ["true"])),
            |error| matches!(error, Error::Compile(error) if error.source_line.is_some()),
        ),
        (
            recorded(plain().option("bufsize", "nonsense")),
            |error| matches!(error, Error::Option { value: Some(value), .. } if value == "nonsense"),
        ),
        (
            recorded(plain().option("nosuchoption", "1")),
            |error| matches!(error, Error::Option { name, .. } if name == "nosuchoption"),
        ),
        (recorded(stopping), |error| matches!(error, Error::Aborted)),
    ];
    for ((place, result), is_expected) in cases {
        let live = result.expect_err("it fails");
        assert!(is_expected(&live.error), "{live:#?}");
        let again = place.replay().run().expect_err("its session failed");
        assert!(is_expected(&again.error), "{again:#?}");
        assert_eq!(again.to_string(), live.to_string());
    }
}

fn a_recorder_that_is_killed_leaves_what_it_had_and_the_error_says_where_it_ends() {
    let place = Place::new();
    let mut recorder = beginner("recorder")
        .env(RECORDING, place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut line = String::new();
    let output = recorder.stdout.take().expect("its output");
    BufReader::new(output).read_line(&mut line).expect("a line");
    recorder.kill().expect("it is there");
    recorder.wait().expect("it is a child");
    let length = std::fs::metadata(place.path()).expect("a recording").len();
    let mut firings = 0;
    let result = place
        .replay()
        .chew(|_| {
            firings += 1;
            Ok(())
        })
        .run();
    let Err(Failure { error: Error::Stream { position, .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert_eq!((line.trim(), firings, outcome.firings), ("recorded", 1, 1));
    assert!(position <= length, "at {position} of {length}");
}

fn a_handlers_failure_is_not_the_recordings() {
    let (place, result) = recorded(plain().chew(|_| Err("enough".into())));
    assert!(matches!(result, Err(Failure { error: Error::Callback { .. }, .. })), "{result:?}");
    let mut firings = 0;
    let outcome = place
        .replay()
        .chew(|_| {
            firings += 1;
            Ok(())
        })
        .run()
        .expect("the session itself went well");
    assert_eq!(firings, 1);
    assert!(outcome.command.is_some());
}

fn a_join_of_an_unknown_aggregation_is_warned_of_on_replay_too() {
    let (place, result) = recorded(plain());
    result.expect("a session");
    let warnings = |names: [&str; 2]| {
        let outcome = place.replay().walk_joined(names, |_| Ok(())).run().expect("a recording");
        outcome.warnings.into_iter().map(|warning| warning.subject).collect::<Vec<_>>()
    };
    assert_eq!(warnings(["a", "b"]), ["@b"]);
    let empty = run_synchronous("BEGIN /0/ { @a = count(); @b = count(); }", ["true"])
        .walk_joined(["a", "b"], |_| Ok(()))
        .run()
        .expect("a session");
    assert!(empty.warnings.is_empty(), "{:?}", empty.warnings);
}

fn an_option_that_does_not_exist_is_warned_of() {
    const BAD_OPTION: &str = "bufsice";
    let outcome = plain().read_option("bufsize").read_option(BAD_OPTION).run().expect("a session");
    let warned: Vec<&str> = outcome.warnings.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(warned, [BAD_OPTION]);
    assert!(outcome.initial_option("bufsize").is_some());
}

fn settings_that_make_no_sense_are_errors() {
    let error = |result: Result<Outcome, Failure>| match result.map_err(|failure| failure.error) {
        Err(Error::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    let none: [&str; 0] = [];
    let empty = replay_from(&b""[..]).walk_joined(none, |_| Ok(())).run();
    assert_eq!(error(empty), "walk_joined([])");
    let session = |interval| -> Session<Live> { trace(SCRIPT).walk_every(interval) };
    for interval in [Duration::ZERO, Duration::from_micros(999)] {
        assert_eq!(error(session(interval).run()), format!("walk_every({interval:?})"));
    }
    let late = trace(SCRIPT).max_delay(Duration::from_millis(1001));
    assert_eq!(error(late.run()), "max_delay(1.001s)");
}
