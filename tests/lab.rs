//! The examples of the lab that draw pictures, run as their users run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dtrace_test_support::live_tests;
use dtrace_test_support::programs::{as_nobody, example, stderr, stdout};
use quick_xml::Reader;
use quick_xml::events::Event;
use tempfile::TempDir;

live_tests! {
    needs: [Tracing],
    tests: [
        both_ends_of_a_connection_go_through_their_states,
        reads_and_writes_are_counted_by_their_size,
        without_data_an_earlier_picture_stays,
    ],
    long: [
        reads_are_timed_by_their_size,
    ],
    needs: [],
    tests: [
        a_recording_shows_the_states_that_were_traced,
        a_damaged_recording_leaves_an_earlier_picture,
        a_recording_of_another_script_is_an_error,
        an_ordinary_user_is_told_what_is_missing,
        a_build_without_pictures_says_so_before_it_traces,
    ],
}

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings").join(name)
}

fn run(name: &str, configure: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    configure(&mut Command::new(example(name))).output().expect("the example starts")
}

/// A picture, and the texts in it.
struct Drawn {
    place: TempDir,
}

impl Drawn {
    fn new() -> Drawn {
        Drawn { place: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("picture.svg")
    }

    fn texts(&self) -> Vec<String> {
        let svg = fs::read_to_string(self.file()).expect("it is drawn");
        let mut reader = Reader::from_str(&svg);
        let mut texts = Vec::new();
        loop {
            match reader.read_event().expect("it is XML") {
                Event::Text(text) => texts.push(text.decode().expect("UTF-8").into_owned()),
                Event::Eof => return texts,
                _ => {}
            }
        }
    }

    fn shows(&self, words: &[&str]) {
        let texts = self.texts();
        for word in words {
            assert!(texts.iter().any(|text| text.trim() == *word), "{word}: {texts:?}");
        }
    }
}

/// The words of the lines that begin with a time, without it.
fn rows(text: &str) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows =
        text.lines().map(words).filter(|it| it.first().is_some_and(|it| it.parse::<u64>().is_ok()));
    rows.map(|row| row[1..].to_vec()).filter(|row| row.len() > 5).collect()
}

/// The states that a socket came to.
fn states_of(text: &str, socket: &str) -> Vec<String> {
    let rows = rows(text);
    let of_socket = rows.iter().filter(|row| format!("{} {}", row[0], row[1]) == socket);
    of_socket.map(|row| row[5].clone()).collect()
}

const CLIENT: [&str; 5] = ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSED"];
const SERVER: [&str; 5] = ["SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"];

fn both_ends_of_a_connection_go_through_their_states() {
    let drawn = Drawn::new();
    let output = run("tcp_states", |it| it.arg("--plot").arg(drawn.file()));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(states_of(&text, "client 1"), CLIENT, "{text}");
    assert_eq!(states_of(&text, "server 1"), SERVER, "{text}");
    assert_eq!(states_of(&text, "listener 1"), ["LISTEN", "CLOSED"], "{text}");
    assert!(text.trim_end().ends_with("nothing lost"), "{text}");
    drawn.shows(&["ESTABLISHED", "TIME-WAIT", "1×"]);
}

fn a_recording_shows_the_states_that_were_traced() {
    let drawn = Drawn::new();
    let (file, plot) = (recording("tcp_states.dtrace"), drawn.file());
    let output = run("tcp_states", |it| it.arg("--replay").arg(&file).arg("--plot").arg(&plot));
    let text = stdout(&output);
    assert_eq!(states_of(&text, "client 1"), CLIENT, "{text}");
    assert_eq!(states_of(&text, "server 1"), SERVER, "{text}");
    // Linux replaces a socket that waits by a smaller one, whose states are not traced.
    let unexpected: Vec<&str> =
        text.lines().filter(|line| line.ends_with("not in the diagram")).collect();
    assert!(unexpected.len() == 1 && unexpected[0].contains("FIN-WAIT-2"), "{unexpected:?}");
    drawn.shows(&["ESTABLISHED", "TIME-WAIT"]);
}

fn reads_and_writes_are_counted_by_their_size() {
    let drawn = Drawn::new();
    let output = run("syscall_profile", |it| it.arg("--plot").arg(drawn.file()));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let write = text.split("\n\n").find(|part| part.contains("write: ")).expect("it writes");
    // 256 KiB in pieces of 1 KiB.
    let of_1_kib = write.lines().find(|line| line.trim().starts_with("1Ki ")).expect("such pieces");
    assert!(of_1_kib.ends_with(" 256"), "{write}");
    drawn.shows(&["Bytes", "Calls", "1Ki"]);
}

fn reads_are_timed_by_their_size() {
    let drawn = Drawn::new();
    // On a disk, not in memory.
    let here = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let output = run("io_latency", |it| {
        it.args(["--count", "3", "--directory"]).arg(here.path()).arg("--plot").arg(drawn.file())
    });
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for size in ["512", "1Ki", "64Ki", "1Mi"] {
        let row = |line: &&str| line.split_whitespace().take(2).eq([size, "3"]);
        assert_eq!(text.lines().filter(row).count(), 2, "{size}: {text}");
    }
    drawn.shows(&["From the page cache", "From the disk", "1Mi"]);
    assert_eq!(fs::read_dir(here.path()).expect("a directory").count(), 0);
}

fn without_data_an_earlier_picture_stays() {
    let drawn = Drawn::new();
    fs::write(drawn.file(), "<svg>an earlier picture</svg>").expect("it is written");
    let output = run("tcp_states", |it| it.arg("--plot").arg(drawn.file()).arg("true"));
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("there is no picture, because no socket changed its state"), "{error}");
    assert_eq!(drawn.texts(), ["an earlier picture"]);
}

fn a_damaged_recording_leaves_an_earlier_picture() {
    let drawn = Drawn::new();
    let part = drawn.place.path().join("part.dtrace");
    let whole = fs::read(recording("tcp_states.dtrace")).expect("a recording");
    fs::write(&part, &whole[..whole.len() / 3]).expect("it is written");
    fs::write(drawn.file(), "<svg>an earlier picture</svg>").expect("it is written");
    let output =
        run("tcp_states", |it| it.arg("--replay").arg(&part).arg("--plot").arg(drawn.file()));
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("part.dtrace is damaged at byte"), "{error}");
    assert_eq!(drawn.texts(), ["an earlier picture"]);
}

fn a_recording_of_another_script_is_an_error() {
    let drawn = Drawn::new();
    let (other, plot) = (recording("tcp_segments.dtrace"), drawn.file());
    let output = run("tcp_states", |it| it.arg("--replay").arg(&other).arg("--plot").arg(&plot));
    assert!(!output.status.success() && !plot.exists());
    assert!(stderr(&output).contains("does not fit its type"), "{}", stderr(&output));
}

fn an_ordinary_user_is_told_what_is_missing() {
    for name in ["tcp_states", "syscall_profile", "io_latency"] {
        let output = as_nobody(name, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let error = stderr(&output);
        assert!(error.contains("root") || error.contains("privilege"), "{name}: {error}");
    }
}

fn a_build_without_pictures_says_so_before_it_traces() {
    let output = run("tcp_segments", |it| it.args(["--plot", "never.svg"]));
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("--features plot"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}
