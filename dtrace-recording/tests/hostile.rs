//! What does a user see of a recording that is damaged, or made to deceive?

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOLDEN: &[u8] = include_bytes!("../../dtrace-consumer/tests/data/recordings/v2.dtrace");

fn program(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtrace-recording"));
    command.args(arguments).output().expect("the program can be started")
}

/// Returns the golden recording with a text instead of another of the same length.
fn with(old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = GOLDEN.to_vec();
    let mut n = 0;
    while let Some(at) = bytes.windows(old.len()).position(|part| part == old.as_bytes()) {
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        n += 1;
    }
    assert!(n > 0, "no {old:?} in the recording");
    bytes
}

fn write(place: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = place.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn control_characters_do_not_reach_standard_error() {
    let place = tempfile::tempdir().expect("a directory");
    let whole = with("invalid address", "invalid\u{1b}[2Jress");
    let recording = write(&place, "faults.dtrace", &whole);
    let output = program(&[Path::new("replay"), &recording]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(error.contains("invalid\\u{1b}[2Jress"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");

    let strange = place.path().join("no\u{1b}[2J.dtrace");
    for subcommand in ["info", "replay", "stub"] {
        let output = program(&[Path::new(subcommand), &strange]);
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("no\\u{1b}[2J.dtrace") && !error.contains('\u{1b}'), "{error:?}");
    }
}

/// Names and strings of a recording may be written to be compiled.
#[test]
fn no_text_of_a_recording_is_code_in_a_stub() {
    let place = tempfile::tempdir().expect("a directory");
    let printed = |bytes: &[u8]| {
        let output = program(&[Path::new("stub"), &write(&place, "same.dtrace", bytes)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let harmless = printed(GOLDEN);
    // The name of an aggregation, a string, a key, and the format of a `printf`.
    for (old, new, escaped) in [
        ("normalized", "\"=>a(),//\n", "\\\"=>a(),//\\n"),
        ("speculated", "\n*/`a();\n\"", "/// Such as `*/'a();`."),
        ("minimum", "\u{202e}\u{1b}[2J", "\"\\u{202e}\\u{1b}[2J\""),
        ("|%5c|%-8s|", "\n`*/%c%s\r{", "\\n'*/%c%s\\r{"),
    ] {
        let made = printed(&with(old, new));
        let plain = |c: char| c == '\n' || c == '…' || c.is_ascii() && !c.is_ascii_control();
        assert!(made.contains(escaped) && made.chars().all(plain), "{made:?}");
        assert_eq!(made.lines().count(), harmless.lines().count(), "{made}");
    }
}

/// The program tells aggregations apart by their names alone.
#[test]
fn aggregations_of_the_same_name_share_types_that_hold_the_entries_of_all() {
    let place = tempfile::tempdir().expect("a directory");
    for (old, new, wanted) in [
        // A string and a number; a string.
        (
            "counts",
            "writes",
            ["let key0: String = entry.key(0)?;", "let value: i64 = entry.number()?;"].as_slice(),
        ),
        // A stack; a string.
        (
            "stacks",
            "writes",
            &["let key0: Value = entry.key(0)?;", "let value: i64 = entry.number()?;"],
        ),
        // A string and a number; no key, and a distribution.
        ("powers", "counts", &["let value = entry.value();"]),
        // No key, and distributions.
        ("powers", "linear", &["let value = entry.value().distribution();"]),
    ] {
        let recording = write(&place, "same.dtrace", &with(old, new));
        let output = program(&[Path::new("stub"), &recording]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).expect("text");
        let mut arms = printed.split("\" => {\n").zip(printed.split("\" => {\n").skip(1));
        let (_, body) = arms.find(|(before, _)| before.ends_with(new)).expect("an arm");
        let (body, _) = body.split_once("todo!").expect("what to replace");
        let lines: Vec<&str> = body.lines().map(str::trim).collect();
        let found: Vec<&&str> = lines.iter().filter(|line| line.starts_with("let ")).collect();
        assert_eq!(found, wanted.iter().collect::<Vec<_>>(), "{old}");
    }
}

#[test]
fn errors_name_the_file_whatever_is_done_with_it() {
    let place = tempfile::tempdir().expect("a directory");
    let target = place.path().join("new.dtrace");
    let files = [
        ("short.dtrace", &GOLDEN[..GOLDEN.len() / 2]),
        ("empty.dtrace", &[]),
        ("foreign.dtrace", &b"#!/bin/sh\n"[..]),
    ];
    for (name, bytes) in files {
        let path = write(&place, name, bytes);
        let mut errors = Vec::new();
        for subcommand in ["info", "replay", "stub", "cut", "anonymise"] {
            let mut arguments = vec![Path::new(subcommand), &path];
            if matches!(subcommand, "cut" | "anonymise") {
                arguments.push(&target);
            }
            let output = program(&arguments);
            assert_eq!(output.status.code(), Some(1), "{subcommand} {name}");
            let error = String::from_utf8(output.stderr).expect("text");
            let last = error.lines().last().unwrap_or_default().to_owned();
            assert!(last.contains(name), "{subcommand}: {error}");
            errors.push(last);
        }
        errors.dedup();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(!target.exists());
    }
}
