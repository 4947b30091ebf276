//! How does a session receive what its command writes?

use std::cell::Cell;
use std::ffi::OsString;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use dtrace_consumer::session::{CommandOutput, EndedBy, Traced};
use dtrace_consumer::{
    CallbackResult, Consumer, Error, Event, Outcome, Session, StopHandle, Wants, run_synchronous,
    trace,
};
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::exists;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        both_streams_are_kept_up_to_their_end,
        what_is_beyond_the_limit_is_counted,
        lines_are_delivered_whatever_bytes_they_have,
        a_line_without_end_comes_in_pieces,
        a_consumer_receives_the_lines_of_both_streams,
        a_closure_that_fails_ends_the_session_but_not_the_command,
        a_closure_that_panics_ends_the_session_but_not_the_command,
        a_closure_may_take_longer_than_the_command,
        a_background_process_cannot_hold_the_session,
        a_background_process_that_keeps_writing_cannot_hold_the_session,
        a_command_may_close_its_streams_early,
        a_command_that_writes_on_after_the_scripts_end_is_read_to_its_end,
        a_command_that_never_stops_writing_keeps_the_session_from_nothing,
        a_pipe_that_the_user_asked_for_is_read,
        a_pipe_that_nobody_would_read_is_refused,
        a_spawned_session_receives_lines_too,
        lines_are_events_too,
        a_command_that_waits_for_input_from_nobody_gets_its_end,
    ],
    long: [output_until_the_deadline_is_kept],
}

const SCRIPT: &str = "BEGIN { @ = count(); }";

fn shell(script: &str) -> Session<Traced> {
    run_synchronous(SCRIPT, ["sh", "-c", script])
}

fn kept(outcome: &Outcome) -> &CommandOutput {
    outcome.output.as_ref().expect("the output")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// What the flooding program writes to a stream.
fn flood(byte: u8, mebibytes: usize) -> Vec<u8> {
    let mut line = vec![byte; 1024];
    line[1023] = b'\n';
    line.repeat(mebibytes * 1024)
}

fn both_streams_are_kept_up_to_their_end() {
    let outcome = run_synchronous(SCRIPT, traced_program("flood", 5))
        .capture_output()
        .run()
        .expect("it runs");
    let output = kept(&outcome);
    assert!(output.stdout == flood(b'o', 5), "{}", output.stdout.len());
    assert!(output.stderr == flood(b'e', 5), "{}", output.stderr.len());
    assert_eq!((output.stdout_omitted, output.stderr_omitted, output.cut_off), (0, 0, false));
    assert!(outcome.command.is_some_and(|command| command.finished()));
    assert_eq!(outcome.ended_by, EndedBy::Command);
}

fn what_is_beyond_the_limit_is_counted() {
    let outcome = run_synchronous(SCRIPT, traced_program("flood", 2))
        .capture_output()
        .output_limit(1000)
        .run()
        .expect("it runs");
    let output = kept(&outcome);
    assert_eq!((output.stdout.len(), output.stderr.len()), (1000, 1000));
    assert_eq!(
        (output.stdout_omitted, output.stderr_omitted),
        ((2 << 20) - 1000, (2 << 20) - 1000)
    );
    assert!(outcome.command.is_some_and(|command| command.finished()));
}

fn lines_are_delivered_whatever_bytes_they_have() {
    let (mut out, mut error) = (Vec::new(), Vec::new());
    let outcome = shell(r"printf 'a\n\n\377\000b\nrest'; printf 'x\ny' >&2")
        .command_stdout(|line| {
            out.push(line.to_vec());
            Ok(())
        })
        .command_stderr(|line| {
            error.push(line.to_vec());
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(out, [&b"a"[..], b"", b"\xff\0b", b"rest"]);
    assert_eq!(error, [b"x", b"y"]);
    assert!(outcome.output.is_none(), "nobody asked for it: {:?}", outcome.output);
}

fn a_line_without_end_comes_in_pieces() {
    let mut pieces = Vec::new();
    shell("head -c 3000000 /dev/zero; echo; echo end")
        .command_stdout(|line| {
            pieces.push(line.len());
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(pieces.pop(), Some(3));
    assert_eq!(pieces.iter().sum::<usize>(), 3_000_000);
    assert!(pieces.len() > 1 && pieces.iter().all(|length| *length < 2 << 20), "{pieces:?}");
}

#[derive(Default)]
struct Both {
    lines: [usize; 2],
    stopped_after: Option<[usize; 2]>,
}

impl Consumer for Both {
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }

    fn command_stdout(&mut self, line: &[u8]) -> CallbackResult {
        assert_eq!(line, [b'o'; 1023]);
        self.lines[0] += 1;
        Ok(())
    }

    fn command_stderr(&mut self, line: &[u8]) -> CallbackResult {
        assert_eq!(line, [b'e'; 1023]);
        self.lines[1] += 1;
        Ok(())
    }

    fn on_stop(&mut self, _: &Outcome) -> CallbackResult {
        self.stopped_after = Some(self.lines);
        Ok(())
    }
}

fn a_consumer_receives_the_lines_of_both_streams() {
    let mut both = Both::default();
    let outcome = run_synchronous(SCRIPT, traced_program("flood", 3))
        .command_lines()
        .capture_output()
        .consumer(&mut both)
        .run()
        .expect("it runs");
    assert_eq!(both.stopped_after, Some([3 * 1024; 2]));
    assert_eq!(kept(&outcome).stdout.len(), 3 << 20);
}

/// Runs a command that writes more than any pipe holds after a closure has ended the session.
fn ended_by_a_closure(fail: impl Fn() -> CallbackResult) -> (Error, Outcome) {
    let mut calls = 0;
    let session = shell("echo first; head -c 3000000 /dev/zero; exit 7").capture_output();
    let failure = session
        .command_stdout(|line| {
            calls += 1;
            assert_eq!(line, b"first");
            fail()
        })
        .run()
        .expect_err("the closure failed");
    assert_eq!(calls, 1);
    let outcome = *failure.outcome;
    assert_eq!(outcome.command.and_then(|command| command.status.code()), Some(7));
    assert_eq!(kept(&outcome).stdout.len(), 3_000_006);
    (failure.error, outcome)
}

fn a_closure_that_fails_ends_the_session_but_not_the_command() {
    let (error, _) = ended_by_a_closure(|| Err("enough".into()));
    assert!(matches!(error, Error::Callback { closure: "command_stdout", .. }), "{error:?}");
}

fn a_closure_that_panics_ends_the_session_but_not_the_command() {
    let (error, _) = ended_by_a_closure(|| panic!("enough"));
    assert!(matches!(error, Error::Panicked { closure: "command_stdout", .. }), "{error:?}");
}

fn a_closure_may_take_longer_than_the_command() {
    // More than the pipe and what waits for the closure hold together, so that the command ends late.
    let mut lines = 0;
    let outcome = run_synchronous(SCRIPT, traced_program("flood", 4))
        .command_stdout(|_| {
            if lines % 1024 == 0 {
                std::thread::sleep(Duration::from_millis(600));
            }
            lines += 1;
            Ok(())
        })
        .configure_command(|command| {
            command.stderr(Stdio::null());
        })
        .run()
        .expect("it runs");
    assert_eq!(lines, 4 * 1024);
    assert!(outcome.output.is_none());
}

/// A process that is killed on drop, also where the test fails.
struct Background(i32);

impl Drop for Background {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

fn a_background_process_cannot_hold_the_session() {
    let mut lines = Vec::new();
    let outcome = shell("sleep 300 & echo $!; exit 3")
        .capture_output()
        .command_stdout(|line| {
            lines.push(text(line).to_owned());
            Ok(())
        })
        .run()
        .expect("it runs");
    let output = kept(&outcome);
    let background = Background(text(&output.stdout).trim().parse().expect("a pid"));
    assert!(output.cut_off);
    assert_eq!(outcome.command.and_then(|command| command.status.code()), Some(3));
    assert_eq!(lines, [background.0.to_string()]);
    // It lives on: it is not the session's.
    assert!(exists(background.0));
}

fn a_background_process_that_keeps_writing_cannot_hold_the_session() {
    // It ignores that nobody reads it any more.
    let writes = "trap '' PIPE; while :; do echo y; done 2>/dev/null";
    let mut background = None;
    let outcome = shell(&format!("sh -c \"{writes}\" & echo $!; exit 3"))
        .capture_output()
        .command_stdout(|line| {
            if line != b"y" {
                background = Some(Background(text(line).parse().expect("a pid")));
            }
            Ok(())
        })
        .run()
        .expect("it runs");
    assert!(kept(&outcome).cut_off);
    assert_eq!(outcome.command.and_then(|command| command.status.code()), Some(3));
    assert!(exists(background.expect("its number").0));
}

fn a_command_may_close_its_streams_early() {
    let outcome = shell("echo out; echo error >&2; exec >&- 2>&-; sleep 0.2; exit 5")
        .capture_output()
        .command_stdout(|_| Ok(()))
        .run()
        .expect("it runs");
    let output = kept(&outcome);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n", "error\n"));
    assert!(!output.cut_off);
    assert_eq!(outcome.command.and_then(|command| command.status.code()), Some(5));
}

fn a_command_that_writes_on_after_the_scripts_end_is_read_to_its_end() {
    let mut lines = 0;
    let script = "BEGIN { exit(4); }";
    let outcome = run_synchronous(script, ["sh", "-c", "sleep 0.5; yes line | head -n 300000"])
        .capture_output()
        .command_stdout(|line| {
            assert_eq!(line, b"line");
            lines += 1;
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!((outcome.exit, outcome.ended_by), (Some(4), EndedBy::Script));
    assert_eq!((lines, kept(&outcome).stdout.len()), (300_000, 1_500_000));
}

fn output_until_the_deadline_is_kept() {
    let outcome = shell("echo before; exec sleep 1000")
        .capture_output()
        // It includes the start.
        .deadline(Duration::from_secs(20))
        .run()
        .expect("it ends");
    assert_eq!(outcome.ended_by, EndedBy::Deadline);
    assert_eq!(text(&kept(&outcome).stdout), "before\n");
    assert!(outcome.command.is_some_and(|command| !command.finished()));
}

fn a_command_that_never_stops_writing_keeps_the_session_from_nothing() {
    let (lines, firings) = (Cell::new(0_u64), Cell::new(0_u64));
    let stop = StopHandle::new();
    let count = |seen: &Cell<u64>| {
        seen.set(seen.get() + 1);
        if lines.get() > 0 && firings.get() > 0 {
            stop.stop();
        }
        Ok(())
    };
    let script = "syscall::write:entry /pid == $target/ { trace(arg2); }";
    let outcome = run_synchronous(script, ["yes"])
        .stop_handle(&stop)
        .command_stdout(|_| count(&lines))
        .rows(|_: i64| count(&firings))
        .deadline(Duration::from_secs(60))
        .run()
        .expect("it ends");
    assert_eq!(outcome.ended_by, EndedBy::Stop, "{lines:?} lines, {firings:?} firings");
}

fn a_pipe_that_the_user_asked_for_is_read() {
    let outcome = run_synchronous(SCRIPT, traced_program("flood", 1))
        .configure_command(|command| {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        })
        .run()
        .expect("it runs");
    let output = kept(&outcome);
    assert_eq!((output.stdout.len(), output.stderr.len()), (1 << 20, 1 << 20));
    // A pipe of the user's own is the user's.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let outcome = shell("echo mine")
        .configure_command(|command| {
            command.stdout(writer);
        })
        .run()
        .expect("it runs");
    let mut mine = String::new();
    reader.read_to_string(&mut mine).expect("it ends");
    assert_eq!((mine.as_str(), outcome.output), ("mine\n", None));
}

fn a_pipe_that_nobody_would_read_is_refused() {
    let mut command = std::process::Command::new("true");
    command.stdout(Stdio::piped());
    let failure = trace(SCRIPT).create(command).run().expect_err("it is refused");
    assert!(matches!(failure.error, Error::Command { .. }), "{failure:?}");
    assert!(failure.to_string().contains("capture_output"), "{failure}");
}

fn a_spawned_session_receives_lines_too() {
    let (tell, lines) = std::sync::mpsc::channel();
    let thread = shell("echo one; read line; echo two")
        .configure_command(|command| {
            command.stdin(Stdio::null());
        })
        .command_stdout(move |line| Ok(tell.send(line.to_vec())?))
        .spawn()
        .expect("it starts");
    let outcome = thread.join().expect("it runs");
    assert_eq!(lines.iter().collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(outcome.ended_by, EndedBy::Command);
}

fn lines_are_events_too() {
    let events = shell("echo one; echo two >&2").command_lines().events(1).expect("it starts");
    let mut lines: Vec<String> = events
        .filter(|event| matches!(event, Event::Line(_)))
        .map(|event| serde_json::to_string(&event).expect("JSON"))
        .collect();
    lines.sort();
    let expected = [
        r#"{"event":"line","line":{"stream":"stderr","text":"two"}}"#,
        r#"{"event":"line","line":{"stream":"stdout","text":"one"}}"#,
    ];
    assert_eq!(lines, expected);
}

fn a_command_that_waits_for_input_from_nobody_gets_its_end() {
    let words: Vec<OsString> = traced_program("copy", 0);
    let outcome = run_synchronous(SCRIPT, words)
        .configure_command(|command| {
            command.stdin(Stdio::piped());
        })
        .run()
        .expect("it runs");
    assert!(outcome.command.is_some_and(|command| command.finished()));
}
