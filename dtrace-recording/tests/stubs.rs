//! Does the program that `stub` prints compile, without warnings, and read its recording?
//!
//! The modules below are what `stub` prints for the recordings of this repository. So the compiler checks them.

#![expect(clippy::todo, reason = "they are what a reader of the program replaces")]

use std::path::Path;
use std::process::{Command, Output};

#[rustfmt::skip]
#[path = "stubs/awkward.rs"]
mod awkward;
#[rustfmt::skip]
#[path = "stubs/ended.rs"]
mod ended;
#[rustfmt::skip]
#[path = "stubs/every_kind.rs"]
mod every_kind;
#[rustfmt::skip]
#[path = "stubs/numbers.rs"]
mod numbers;
#[rustfmt::skip]
#[path = "stubs/tcp_segments.rs"]
mod tcp_segments;

/// The recordings, relative to the directory of this package, where tests run.
const RECORDINGS: [(&str, &str); 5] = [
    ("tests/data/awkward.dtrace", "awkward"),
    ("tests/data/ended.dtrace", "ended"),
    ("../dtrace-consumer/tests/data/recordings/v2.dtrace", "every_kind"),
    ("tests/data/numbers.dtrace", "numbers"),
    ("../examples/recordings/tcp_segments.dtrace", "tcp_segments"),
];

fn stub(recording: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtrace-recording"));
    command.args(["stub", recording]).output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn what_is_printed_is_what_is_compiled_here() {
    for (recording, module) in RECORDINGS {
        let output = stub(recording);
        assert!(output.status.success(), "{recording}: {}", text(&output.stderr));
        let file = format!("tests/stubs/{module}.rs");
        let compiled = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text(&output.stdout) == compiled,
            "{file} is not what `stub {recording}` prints (cargo run -p dtrace-recording -- stub …)"
        );
    }
}

#[test]
fn a_clause_is_a_structure_with_the_names_of_its_format() {
    let printed = text(&stub("tests/data/numbers.dtrace").stdout);
    for part in [
        "struct GetppidEntry {",
        "    n: i32,",
        "    id: u64,",
        "    name: String,",
        "id: firing.get(\"id\")?,",
        "\"sizes\" => {",
        "let key0: String = entry.key(0)?;",
        "let value = entry.value().distribution();",
        "todo!(",
    ] {
        assert!(printed.contains(part), "no {part:?} in:\n{printed}");
    }
}

#[test]
fn what_has_nothing_to_read_is_refused_by_its_name() {
    let place = tempfile::tempdir().expect("a directory");
    let whole = std::fs::read("tests/data/numbers.dtrace").expect("a recording");
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let refused = |path: &Path, reason: &str| {
        let path = path.to_str().expect("a plain path");
        let output = stub(path);
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{message}");
        assert!(message.contains(path) && message.contains(reason), "{message}");
    };
    refused(&place.path().join("missing"), "No such file");
    refused(&file("other", b"int main(void) { return 0; }"), "not a recording");
    refused(&file("short", &whole[..whole.len() / 2]), "");
    // No firing is left, and the entries of aggregations need their probe no more than before.
    let empty = place.path().join("empty");
    let mut cut = Command::new(env!("CARGO_BIN_EXE_dtrace-recording"));
    cut.args(["cut", "--until", "0", "tests/data/numbers.dtrace"]).arg(&empty);
    assert!(cut.output().expect("the program can be started").status.success());
    refused(&empty, "neither values nor aggregations");
}
