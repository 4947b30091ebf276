//! Is a failed session described as a replay reports it?

use std::time::Duration;

use super::{begin, probe};
use crate::data::listing::ListedProbe;
use crate::data::loss::Fault;
use crate::data::probe::Probe;
use crate::data::session_info::ProgramInfo;
use crate::recording::RecordingInfo;
use crate::stream::contents::{ContentsFrame, SessionFailure};
use crate::stream::frame::Frame;
use crate::stream::payload::{FailureFrame, FailureKind};

/// Returns a recording of a session with a script, an option and a fault, which fails with these frames.
fn failing(frames: &[Frame<'_>]) -> Vec<u8> {
    let contents = ContentsFrame {
        firings: true,
        text: false,
        printed: false,
        report: false,
        preprocessed: false,
        scripts: vec![("mine.d".to_owned(), b"BEGIN\n{\n\ttrace(foo(1));\n}".to_vec())],
        options: vec![("bufsize".to_owned(), Some("1z".to_owned()))],
    };
    let [provider, module, function, name] = ["fbt", "", "tcp_*", "entry"].map(str::to_owned);
    let clause =
        ListedProbe { probe: Probe { id: 0, provider, module, function, name }, details: None };
    let program = ProgramInfo { clauses: vec![clause], ..ProgramInfo::default() };
    let fault = Fault {
        probe: Some(probe(1)),
        cpu: 0,
        kind: "invalid address".to_owned(),
        code: 1,
        address: 0,
        action: 0,
        offset: 0,
        message: "invalid address".to_owned(),
    };
    let before = [begin(), Frame::Contents(contents), Frame::Program(program), Frame::Fault(fault)];
    let mut bytes = Vec::new();
    before.iter().chain(frames).for_each(|frame| frame.encode(&mut bytes));
    bytes
}

fn failure(kind: FailureKind, attempt: &str, message: &str) -> Frame<'static> {
    let (attempt, message) = (attempt.to_owned(), message.to_owned());
    let (number, script, needed) = (0, Some(0), Vec::new());
    Frame::Failure(FailureFrame { kind, attempt, number, message, script, needed })
}

/// Returns how a recording describes the failure, which has to be the error of a replay.
fn described(frames: &[Frame<'_>]) -> String {
    let bytes = failing(frames);
    let info = RecordingInfo::read(&bytes[..]).expect("a recording");
    assert_eq!(info.damage, None);
    let described = info.failure.expect("a failure");
    let replayed = crate::replay_from(&bytes[..]).run().expect_err("a failure").error;
    assert_eq!(described, replayed.to_string());
    described
}

#[test]
fn what_a_worker_reported_is_explained() {
    let compile = "line 3: undefined function name: foo";
    let refused = "Failed to enable fbt:vmlinux:tcp_v4_rcv:entry: Operation not supported";
    for (kind, attempt, message, expected) in [
        (FailureKind::Compile, "dtrace_program_strcompile", compile, "trace(foo(1));"),
        (FailureKind::Option, "bufsize", "Invalid value", "bufsize=1z"),
        (FailureKind::Call, "dtrace_go", refused, "`fbt::tcp_*:entry` matches it"),
        (FailureKind::NotBegun, "dtrace_go", "", "BEGIN did not fire"),
        (
            FailureKind::Refused,
            "process 1",
            "it is not yours",
            "the elevated worker refuses process 1",
        ),
    ] {
        let described = described(&[failure(kind, attempt, message)]);
        assert!(described.contains(expected), "{described}");
    }
}

#[test]
fn what_the_recorder_noted_is_the_error_of_its_session() {
    let (status, last_words) = ("exited with status 3".to_owned(), "dtrace: no memory".to_owned());
    let silent = SessionFailure::WorkerSilent { last_words: last_words.clone() };
    for (failure, expected) in [
        (SessionFailure::WorkerDied { status, last_words }, "its last output: dtrace: no memory"),
        (silent, "its last output: dtrace: no memory"),
        (SessionFailure::Lost, "data were lost: "),
        (SessionFailure::Aborted, "the session was aborted"),
        (SessionFailure::Deadline { limit: Duration::from_secs(3) }, "deadline of 3s"),
    ] {
        let described = described(&[Frame::SessionFailed(failure)]);
        assert!(described.contains(expected), "{described}");
    }
}

#[test]
fn the_first_failure_counts() {
    let second = failure(FailureKind::Option, "bufsize", "Invalid value");
    let first = Frame::SessionFailed(SessionFailure::Aborted);
    assert_eq!(described(&[first, second]), "the session was aborted");
}
