//! Is a script recorded by one command, and what happens to the file if that fails?

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dtrace_consumer::recording::RecordingInfo;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::children_of;
use tempfile::TempDir;

live_tests! {
    needs: [],
    tests: [
        a_script_that_cannot_be_read_is_named,
        a_directory_is_refused_before_anything_is_traced,
    ],
    needs: [Tracing],
    tests: [
        a_command_is_traced_and_the_replay_prints_what_was_recorded,
        a_script_that_does_not_compile_leaves_files_as_they_were,
        ctrl_c_keeps_what_was_recorded,
        a_session_that_fails_keeps_what_was_recorded_before,
        a_recording_that_cannot_have_its_name_is_kept_under_another,
    ],
}

const SCRIPT: &str = r#"
    syscall::write:entry /pid == $target/ { printf("bytes=%d\n", arg2); @writes["all"] = count(); }
"#;

fn program(place: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtrace-recording"));
    command.current_dir(place.path()).args(arguments);
    command
}

fn run(place: &TempDir, arguments: &[&str]) -> Output {
    program(place, arguments).output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns a directory with the script in it.
fn place_with(script: &str) -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("script.d"), script).expect("a file");
    place
}

/// Returns the names of the files in the directory.
fn names(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn a_script_that_cannot_be_read_is_named() {
    let place = place_with(SCRIPT);
    let output = run(&place, &["record", "other.d", "out.dtrace"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("other.d"), "{}", text(&output.stderr));
    assert_eq!(names(place.path()), ["script.d"]);
}

fn a_directory_is_refused_before_anything_is_traced() {
    let place = place_with("BEGIN { exit(0); }");
    fs::create_dir(place.path().join("out.dtrace")).expect("a directory");
    for force in [["record"].as_slice(), &["record", "--force"]] {
        let output = run(&place, &[force, &["script.d", "out.dtrace"]].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("cannot write out.dtrace: "), "{message}");
        assert_eq!(names(place.path()), ["out.dtrace", "script.d"], "{message}");
    }
}

fn a_command_is_traced_and_the_replay_prints_what_was_recorded() {
    let place = place_with(SCRIPT);
    let arguments = [
        "record",
        "-x",
        "quiet",
        "-x",
        "bufsize=1m",
        "script.d",
        "out.dtrace",
        "--",
        "echo",
        "hello",
    ];
    let output = run(&place, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "hello\nrecorded 1 firings in out.dtrace; nothing lost\n");
    let replayed = text(&run(&place, &["replay", "out.dtrace"]).stdout);
    assert!(replayed.starts_with("bytes=6\n") && replayed.contains("  all "), "{replayed}");
    let info = RecordingInfo::read_file(place.path().join("out.dtrace")).expect("a recording");
    assert!(info.options.contains(&("quiet".to_owned(), None)), "{:?}", info.options);

    // A command that fails is recorded like any other.
    let arguments = ["record", "--force", "script.d", "out.dtrace", "--", "false"];
    let output = run(&place, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("exit status: 1"), "{}", text(&output.stderr));
    assert_eq!(names(place.path()), ["out.dtrace", "script.d"]);
}

fn a_script_that_does_not_compile_leaves_files_as_they_were() {
    let place = place_with("BEGIN { trace(nonsense); }");
    let target = place.path().join("out.dtrace");
    let output = run(&place, &["record", "script.d", "out.dtrace", "--", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nonsense"), "{}", text(&output.stderr));
    assert_eq!(names(place.path()), ["script.d"]);

    fs::write(&target, "precious").expect("a file");
    let output = run(&place, &["record", "script.d", "out.dtrace", "--", "true"]);
    assert!(text(&output.stderr).contains("--force"), "{}", text(&output.stderr));
    assert!(!run(&place, &["record", "--force", "script.d", "out.dtrace"]).status.success());
    assert_eq!(fs::read(&target).expect("a file"), b"precious");
    assert_eq!(names(place.path()), ["out.dtrace", "script.d"]);
}

fn ctrl_c_keeps_what_was_recorded() {
    let place = place_with("BEGIN { printf(\"n=%d\\n\", 7); }");
    let recorder = begun(&place);
    send("-INT", recorder.id().to_string());
    let output = recorder.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let info = RecordingInfo::read_file(place.path().join("out.dtrace")).expect("a recording");
    assert_eq!((info.firings, info.damage, info.failure), (1, None, None));
    assert_eq!(names(place.path()), ["out.dtrace", "script.d"]);
}

fn a_session_that_fails_keeps_what_was_recorded_before() {
    let place = place_with("BEGIN { printf(\"n=%d\\n\", 7); }");
    let recorder = begun(&place);
    children_of(recorder.id()).for_each(|worker| send("-KILL", worker.to_string()));
    let output = recorder.wait_with_output().expect("the program ends");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("SIGKILL"), "{message}");
    assert!(message.contains("what was recorded before is in out.dtrace"), "{message}");
    let info = RecordingInfo::read_file(place.path().join("out.dtrace")).expect("a recording");
    assert_eq!((info.firings, info.damage), (1, None));
    assert!(info.failure.is_some_and(|failure| failure.contains("SIGKILL")));
}

/// The name is taken while the session runs, so the file has to stay where it is.
fn a_recording_that_cannot_have_its_name_is_kept_under_another() {
    for (force, fails) in [(false, false), (true, true)] {
        let place = place_with("BEGIN { printf(\"n=%d\\n\", 7); }");
        let arguments: &[&str] = if force { &["record", "--force"] } else { &["record"] };
        let recorder = begun_with(&place, &[arguments, &["script.d", "out.dtrace"]].concat());
        let target = place.path().join("out.dtrace");
        match force {
            // No file takes the place of a directory.
            true => fs::create_dir(&target).expect("a directory"),
            false => fs::write(&target, "precious").expect("a file"),
        }
        match fails {
            true => children_of(recorder.id()).for_each(|it| send("-KILL", it.to_string())),
            false => send("-INT", recorder.id().to_string()),
        }
        let output = recorder.wait_with_output().expect("the program ends");
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert_eq!(message.contains("SIGKILL"), fails, "{message}");
        assert!(message.contains("cannot write out.dtrace: "), "{message}");

        let names = names(place.path());
        let [kept, _, _] = &names[..] else { panic!("{names:?}: {message}") };
        let path = format!("{}/{kept}", place.path().display());
        assert!(message.contains(&format!("the recording is in {path} (")), "{message}");
        let info = RecordingInfo::read_file(place.path().join(kept)).expect("a recording");
        assert_eq!((info.firings, info.damage), (1, None));
        assert!(target.is_dir() || fs::read(&target).is_ok_and(|it| it == b"precious"));
    }
}

fn send(signal: &str, process: String) {
    let status = Command::new("kill").args([signal, &process]).status();
    assert!(status.expect("kill can be started").success());
}

/// Starts the recorder for a script without a command, and waits until something was recorded.
fn begun(place: &TempDir) -> Child {
    begun_with(place, &["record", "script.d", "out.dtrace"])
}

fn begun_with(place: &TempDir, arguments: &[&str]) -> Child {
    let mut recorder = program(place, arguments);
    let recorder = recorder.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let recorder = recorder.expect("the program can be started");
    wait_for_firing(place, &recorder);
    recorder
}

/// Waits until the recording that is being written has a firing.
fn wait_for_firing(place: &TempDir, recorder: &Child) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let mut files = names(place.path()).into_iter().filter(|name| name.starts_with(".dtrace-"));
        let has_one = |name: String| {
            RecordingInfo::read_file(place.path().join(name)).is_ok_and(|info| info.firings > 0)
        };
        if files.any(has_one) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("process {} recorded nothing within a minute", recorder.id());
}
