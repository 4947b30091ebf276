//! Recordings: each format version's golden file is decoded as ever, a replay calls the closures as
//! the session itself did, and what is no whole recording is told from one.
//!
//! `DTRACE_CONSUMER_RECORD=1` records the golden file of the current version anew, with its decoded
//! form beside it; it needs a machine that can trace.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dtrace_consumer::recording::Compression;
use dtrace_consumer::{
    Error, Failure, Firing, Outcome, Output, Record, ValueRef, replay, replay_from, run_synchronous,
};
use dtrace_test_support::kernel::{EXIT, IS_LINUX};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [],
    tests: [
        the_golden_recording_is_decoded_as_ever,
        the_golden_recording_has_something_of_everything,
        a_recording_that_breaks_off_is_delivered_up_to_there_and_says_where,
        what_is_no_recording_is_told_from_a_damaged_one,
        a_recording_of_another_version_says_so,
        frames_of_kinds_that_are_not_known_are_passed_over,
        a_frame_beyond_the_limit_that_the_user_sets_is_refused,
    ],
    needs: [Tracing],
    tests: [
        a_replay_calls_the_closures_as_the_session_did,
    ],
}

const SCRIPT: &str = include_str!("data/recordings/v2.d");
const COMMAND: [&str; 3] = ["sh", "-c", "echo traced >&2; sleep 0.5; exit 7"];

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings").join(file)
}

fn golden() -> Vec<u8> {
    std::fs::read(data("v2.dtrace")).expect("the golden recording")
}

/// What the closures were called with, in order.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn add(&self, line: String) -> dtrace_consumer::CallbackResult {
        self.0.borrow_mut().push(line);
        Ok(())
    }

    fn lines(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A value with all that is known of it.
fn value(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(n) => format!("{n} of {} bytes, {:?}", n.width(), n.sign()),
        other => format!("{other:?}"),
    }
}

fn firing(firing: &Firing<'_>) -> String {
    let values: Vec<String> =
        firing.values().map(|v| format!("{} {}", v.kind(), value(&v))).collect();
    format!(
        "firing of {} on CPU {}, statement {}, {:?}: {values:?}",
        firing.probe(),
        firing.cpu(),
        firing.statement(),
        firing.flow(),
    )
}

fn record(record: &Record<'_>) -> String {
    let value = value(&record.value());
    format!("  record {}: {:?} = {value}", record.index(), record.description())
}

fn output(output: &Output<'_>) -> String {
    format!("  output of {:?}: {:?}", output.action(), output.text())
}

fn entry(entry: &dtrace_consumer::Aggregated<'_>) -> String {
    let keys: Vec<String> = entry.keys().map(|key| value(&key)).collect();
    let cpus = entry.per_cpu().count();
    format!("entry @{} {keys:?} = {:?} on {cpus} CPUs", entry.name(), entry.value())
}

/// Sets every closure to write what it is called with to a log.
macro_rules! observe {
    ($session:expr, $log:expr) => {{
        let log = $log;
        $session
            .on_start(|_| log.add("tracing is on".to_owned()))
            .chew(|f| log.add(firing(f)))
            .chewrec(|r| {
                log.add(record(r))?;
                r.aggregated().try_for_each(|e| log.add(format!("    {}", entry(&e))))
            })
            .out(|o| log.add(output(o)))
            .walk(|e| log.add(entry(e)))
            .walk_joined(["sums", "counts"], |row| {
                let keys: Vec<String> = row.keys().map(|key| value(&key)).collect();
                log.add(format!("joined {keys:?} = {:?}", row.values()))
            })
            .walked(|| log.add("walked".to_owned()))
            .report(|text| log.add(format!("report {:?}", String::from_utf8_lossy(text))))
            .on_option(|change| log.add(format!("{change:?}")))
            .on_process(|event| log.add(format!("{event:?}")))
            .on_drop(|report| log.add(format!("{report:?}")))
            .on_fault(|fault| log.add(format!("{fault:?}")))
    }};
}

/// An outcome without the times that only the session itself can know.
fn summary(outcome: &Outcome) -> Vec<String> {
    vec![
        format!("command {:?}", outcome.command),
        format!("exit {:?}", outcome.exit),
        format!("losses {}", outcome.losses),
        format!("{:?}", outcome.session),
        format!("{:?}", outcome.programs),
        format!("initial options {:?}", outcome.initial_options),
        format!("options {:?}", outcome.options),
        format!("processes {:?}", outcome.processes),
        format!("{} firings", outcome.firings),
    ]
}

fn replayed(recording: &[u8]) -> (Vec<String>, Result<Outcome, Failure>) {
    let log = Log::default();
    let result = observe!(replay_from(recording), &log).run();
    (log.lines(), result)
}

/// Traces for real, recording to `path`.
fn record_live(path: &Path, compression: Compression) -> Vec<String> {
    let log = Log::default();
    let session = run_synchronous(SCRIPT.replace("exit_group", EXIT), COMMAND)
        .record(path)
        .compression(compression)
        .printed_entries()
        .read_option("switchrate");
    let outcome = observe!(session, &log).run().expect("a session");
    let mut lines = log.lines();
    lines.extend(summary(&outcome));
    lines
}

fn decoded(recording: &[u8]) -> Vec<String> {
    let (mut lines, result) = replayed(recording);
    lines.extend(summary(&result.expect("a whole recording")));
    lines
}

fn text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// Where each frame begins, and last where the recording ends.
fn frames(recording: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    while let Some(length) = recording[at..].first_chunk() {
        at += 4 + u32::from_le_bytes(*length) as usize;
        starts.push(at);
    }
    assert_eq!(at, recording.len());
    starts
}

fn the_golden_recording_is_decoded_as_ever() {
    if std::env::var_os("DTRACE_CONSUMER_RECORD").is_some_and(|v| v == "1") {
        record_live(&data("v2.dtrace"), Compression::None);
        std::fs::write(data("v2.txt"), text(&decoded(&golden()))).expect("the decoded form");
    }
    let expected = std::fs::read_to_string(data("v2.txt")).expect("the decoded form");
    let decoded = decoded(&golden());
    for (n, (line, expected)) in decoded.iter().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "line {}", n + 1);
    }
    assert_eq!(text(&decoded), expected);
}

fn the_golden_recording_has_something_of_everything() {
    let text = text(&decoded(&golden()));
    for word in [
        "tracing is on",
        "stack Stack([0x",
        "symbol",
        "kind: Entry",
        "Count(",
        "Sum(",
        "Min(",
        "Max(",
        "Avg(",
        "Stddev(",
        "Quantize(",
        "LQuantize(",
        "LLQuantize(",
        "DropReport",
        "Fault {",
        "OptionChange",
        "report",
        "joined",
        "walked",
        "exit Some(3)",
        "-6000000000",
        "    entry @sums",
    ] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

fn a_replay_calls_the_closures_as_the_session_did() {
    let path = std::env::temp_dir().join(format!("dtrace-recording-{}", std::process::id()));
    for compression in [Compression::None, Compression::Zstd] {
        let live = record_live(&path, compression);
        let recording = std::fs::read(&path).expect("the recording");
        std::fs::remove_file(&path).expect("the recording can be removed");
        assert_eq!(decoded(&recording), live);
    }
}

fn a_recording_that_breaks_off_is_delivered_up_to_there_and_says_where() {
    let golden = golden();
    let starts = frames(&golden);
    let (whole, _) = replayed(&golden);
    // The last frame but one ends the session; the last one tells how the command ended.
    let end = starts[starts.len() - 2];
    let mut before: Option<(usize, Vec<String>)> = None;
    for start in starts.windows(2).flat_map(|frame| {
        let (start, next) = (frame[0], frame[1]);
        [start, start + 1, start + 4, start + 5, (start + next) / 2, next - 1]
            .into_iter()
            .filter(move |cut| (start..next).contains(cut))
            .map(move |cut| (start, cut))
    }) {
        let (start, cut) = start;
        let (lines, result) = replayed(&golden[..cut]);
        match result.map_err(|failure| failure.error) {
            Ok(_) => assert_eq!(cut, end),
            Err(Error::NotARecording { .. }) => assert_eq!(cut, 0),
            Err(Error::Stream { position, .. }) => assert_eq!(position, start as u64, "at {cut}"),
            Err(other) => panic!("at {cut}: {other}"),
        }
        assert!(whole.starts_with(&lines), "at {cut}");
        // Within a frame everything before it has been delivered, just as at its beginning.
        match &before {
            Some((frame, delivered)) if *frame == start => assert_eq!(*delivered, lines),
            _ => before = Some((start, lines)),
        }
    }
    assert_eq!(before.map(|(_, lines)| lines), Some(whole));
}

fn what_is_no_recording_is_told_from_a_damaged_one() {
    const BAD_RECORDING: &str = "v2.d";
    const BAD_RECORDING_WITHOUT_BYTES: &str = "/dev/null";
    const BAD_RECORDINGS: [&str; 2] = ["/no/such/recording", "/"];
    let error = |path: &Path| replay(path).run().unwrap_err().error;
    let script = error(&data(BAD_RECORDING));
    assert!(matches!(&script, Error::NotARecording { name, .. } if name.ends_with(BAD_RECORDING)));
    assert!(script.to_string().contains("v2.d is not a recording"), "{script}");
    let empty = error(Path::new(BAD_RECORDING_WITHOUT_BYTES));
    assert_eq!(empty.to_string(), "/dev/null is not a recording: it is empty");
    // FreeBSD 12 reads a directory as a file.
    for missing in BAD_RECORDINGS.into_iter().take(if IS_LINUX { 2 } else { 1 }) {
        let error = error(Path::new(missing));
        assert!(
            matches!(&error, Error::Recording { path, .. } if path == Path::new(missing)),
            "{error}"
        );
    }
}

fn a_recording_of_another_version_says_so() {
    const BAD_RECORDINGS_BY_VERSION: [u16; 3] = [1, 3, u16::MAX];
    for version in BAD_RECORDINGS_BY_VERSION {
        let mut other = golden();
        other[9..11].copy_from_slice(&version.to_le_bytes());
        let failure = replay_from(&other[..]).run().unwrap_err();
        let error = failure.error;
        assert!(
            matches!(error, Error::RecordingVersion { found, supported: 2, .. } if found == version),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("its format has version {version}, and")), "{text}");
        assert_eq!(failure.outcome.firings, 0);
    }
}

fn frames_of_kinds_that_are_not_known_are_passed_over() {
    let golden = golden();
    let mut with_unknown = Vec::new();
    for frame in frames(&golden).windows(2) {
        with_unknown.extend(&golden[frame[0]..frame[1]]);
        with_unknown.extend([3, 0, 0, 0, 200, 1, 2]);
    }
    assert_eq!(decoded(&with_unknown), decoded(&golden));
}

fn a_frame_beyond_the_limit_that_the_user_sets_is_refused() {
    let golden = golden();
    let largest = frames(&golden).windows(2).map(|f| f[1] - f[0] - 4).max().expect("frames");
    assert!(replay_from(&golden[..]).frame_limit(largest).run().is_ok());
    let error = replay_from(&golden[..]).frame_limit(largest - 1).run().unwrap_err().error;
    let refused =
        |e: &Error| matches!(e, Error::Stream { cause, .. } if cause.field == "frame length");
    assert!(refused(&error), "{error}");
}
