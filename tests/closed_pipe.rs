//! Does the example `dtrace` end as dtrace(1) does when nobody reads its output any more, and
//! accept the words that dtrace(1) accepts?

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, pipe};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::example;
use nix::sys::signal::Signal;

live_tests! {
    needs: [Tracing, Dtrace1],
    long: [the_end_of_the_reader_ends_both_alike],
    needs: [Tracing, Dtrace1],
    tests: [
        both_take_words_that_are_not_text,
        both_give_their_command_their_input_and_output,
    ],
}

/// Both programs, the real one first.
fn both(scratch: &Path) -> [(&'static str, Command); 2] {
    let dtrace1 = Dtrace1::find(scratch, &["io.d".to_owned()]).expect("dtrace(1)");
    [("dtrace(1)", dtrace1.command()), ("the example", Command::new(example("dtrace")))]
}

/// How a program ended: its exit status, its signal, and what it wrote to its standard error.
type End = (Option<i32>, Option<i32>, String);

/// Runs a program whose output is read up to `lines` lines.
fn read_a_little(mut command: Command, arguments: &[&str], lines: usize) -> End {
    let (reader, writer) = pipe().expect("a pipe");
    command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut reader = BufReader::new(reader);
    for _ in 0..lines {
        reader.read_line(&mut String::new()).expect("a line");
    }
    drop(reader);
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let status = child.wait().expect("a child");
    (status.code(), status.signal(), said)
}

fn the_end_of_the_reader_ends_both_alike() {
    // Many firings, what is printed at the end, and what is printed without tracing.
    let many = "rawtp:raw_syscalls::sys_enter { printf(\"%d\\n\", pid); }";
    let last = "BEGIN { @ = count(); exit(0); }";
    for (arguments, lines) in [
        (&["-q", "-n", many][..], 1),
        (&["-n", many], 0),
        (&["-q", "-n", last], 0),
        (&["-l"], 1),
        (&["-V"], 0),
    ] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let [expected, found] =
            both(scratch.path()).map(|(_, command)| read_a_little(command, arguments, lines));
        assert_eq!(found, expected, "{arguments:?}");
        assert_eq!(expected.1, Some(Signal::SIGPIPE as i32), "{arguments:?}");
    }
}

fn both_take_words_that_are_not_text() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    for (name, mut command) in both(scratch.path()) {
        let path = |name: &[u8]| {
            let bytes = [scratch.path().as_os_str().as_encoded_bytes(), b"/", name].concat();
            OsString::from_vec(bytes)
        };
        let (script, made, out) = (path(b"\xff.d"), path(b"\xfe"), path(b"\xfd"));
        fs::write(&script, "BEGIN { printf(\"begin\\n\"); }").expect("a file");
        let words = [b"touch ".to_vec(), made.clone().into_vec()].concat();
        command.arg("-q").arg("-s").arg(&script).arg("-o").arg(&out);
        command.arg("-n").arg(OsString::from_vec(b"BEGIN { printf(\"\xfc\\n\"); }".to_vec()));
        let output = command.arg("-c").arg(OsString::from_vec(words)).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{name}: {output:?}");
        let printed = fs::read(&out).expect("the output");
        assert_eq!(printed.trim_ascii(), b"begin\n\xfc", "{name}");
        fs::remove_file(&made).unwrap_or_else(|e| panic!("{name}: {e}"));
        fs::remove_file(&out).expect("it is there");
    }
}

fn both_give_their_command_their_input_and_output() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let input = scratch.path().join("input");
    fs::write(&input, "hello\n").expect("a file");
    for (name, mut command) in both(scratch.path()) {
        let output = command
            .args(["-qn", "BEGIN { }", "-c", "sh -c cat>&2;exec<&-"])
            .stdin(fs::File::open(&input).expect("it is there"))
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "hello\n", "{name}");
    }
}
