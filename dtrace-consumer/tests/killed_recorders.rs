//! Does a recording have what the handlers of a program had seen when the program was killed?

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use dtrace_consumer::recording::RecordingInfo;
use dtrace_consumer::{Error, replay};
use dtrace_test_support::beginner::{RECORDING, beginner};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::orphans_ended;

live_tests! {
    needs: [Tracing],
    tests: [
        what_a_handler_has_seen_is_in_the_recording_whenever_the_program_is_killed,
        a_program_that_is_killed_before_it_traces_leaves_no_recording_or_an_incomplete_one,
    ],
}

fn what_a_handler_has_seen_is_in_the_recording_whenever_the_program_is_killed() {
    let (_lock, guard) = alone();
    let place = tempfile::tempdir().expect("a directory");
    for lines in [1, 2, 17, 400, 3001, 20_011] {
        let path = place.path().join(format!("after-{lines}"));
        let mut recorder = beginner("busy recorder")
            .env(RECORDING, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut output = BufReader::new(recorder.stdout.take().expect("its output")).lines();
        let mut seen: Vec<u32> = Vec::new();
        let mut see = |line: std::io::Result<String>| {
            // The last line may be cut off.
            seen.extend(line.ok().and_then(|line| line.parse::<u32>().ok()));
        };
        output.by_ref().take(lines).for_each(&mut see);
        recorder.kill().expect("it is there");
        output.for_each(&mut see);
        recorder.wait().expect("it is a child");
        // The end of the last line was not written.
        seen.pop();

        let mut recorded: Vec<u32> = Vec::new();
        let result = replay(&path)
            .rows(|n: u32| {
                recorded.push(n);
                Ok(())
            })
            .run();
        let error = result.expect_err("it has no end").error;
        assert!(matches!(error, Error::Stream { .. }), "{error}");
        assert!(seen.len() + 1 >= lines && recorded.starts_with(&seen), "{lines}: {}", seen.len());
        let file = std::fs::File::open(&path).expect("the recording");
        let info = RecordingInfo::read(file).expect("a recording");
        assert_eq!(info.firings, recorded.len() as u64);
        assert!(info.damage.is_some() && info.origin.is_some_and(|it| it.command.is_some()));
    }
    drop(place);
    orphans_ended();
    guard.check();
}

fn a_program_that_is_killed_before_it_traces_leaves_no_recording_or_an_incomplete_one() {
    let (_lock, guard) = alone();
    let place = tempfile::tempdir().expect("a directory");
    for wait in [0, 20, 60, 120, 250] {
        let path = place.path().join(format!("after-{wait}"));
        let mut recorder = beginner("busy recorder")
            .env(RECORDING, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program can be started");
        std::thread::sleep(Duration::from_millis(wait));
        recorder.kill().expect("it is there");
        recorder.wait().expect("it is a child");
        match replay(&path).run().map_err(|failure| failure.error) {
            Err(Error::Recording { .. }) => assert!(!path.exists()),
            Err(Error::NotARecording { .. } | Error::Stream { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(place);
    orphans_ended();
    guard.check();
}
