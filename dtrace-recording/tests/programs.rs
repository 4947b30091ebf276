//! What does a user of the program see, and what happens to files?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dtrace_consumer::{Script, run_synchronous};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::live_tests;
use tempfile::TempDir;

live_tests! {
    needs: [],
    tests: [
        a_recording_is_described_for_people_and_as_json,
        every_event_is_a_line_of_json,
        an_existing_file_stays_unless_force_is_given,
        a_failure_leaves_no_file_and_says_why,
        what_makes_no_sense_has_another_exit_status,
        the_help_names_every_subcommand_and_the_exit_statuses,
        a_recording_may_be_changed_in_its_place,
    ],
    needs: [Command("zstd")],
    tests: [
        the_program_zstd_reads_and_writes_recordings,
    ],
    needs: [Tracing, Dtrace1],
    tests: [
        a_replay_prints_what_dtrace1_prints,
        a_recording_says_where_it_comes_from_and_is_cut_by_time,
    ],
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dtrace-consumer/tests/data/recordings/v2.dtrace")
}

fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtrace-recording"));
    command.args(arguments).output().expect("the program can be started")
}

fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the names in a directory.
fn names(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn a_recording_is_described_for_people_and_as_json() {
    let output = program(&["info", &text(&golden())]);
    let described = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for word in
        ["system:", "libdtrace:      2.0", "firings:", "losses:", "command ended: ", "script "]
    {
        assert!(described.contains(word), "no {word:?} in:\n{described}");
    }
    let output = program(&["info", "--json", &text(&golden())]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(json["firings"].as_u64() > Some(0) && json["format"] == 2, "{json}");
    assert!(json["damage"].is_null() && json["scripts"][0][1].is_string(), "{json}");
}

fn every_event_is_a_line_of_json() {
    let output = program(&["replay", "--ndjson", &text(&golden())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut kinds = Vec::new();
    for line in stdout(&output).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["v"], 1, "{line}");
        kinds.push(event["event"].as_str().expect("a kind").to_owned());
    }
    assert_eq!(kinds.first().map(String::as_str), Some("start"));
    assert_eq!(kinds.last().map(String::as_str), Some("stop"));
    for kind in ["firing", "aggregated", "walked", "drop", "fault", "option"] {
        assert!(kinds.iter().any(|it| it == kind), "no {kind}");
    }
}

fn an_existing_file_stays_unless_force_is_given() {
    let place = tempfile::tempdir().expect("a directory");
    let target = place.path().join("target");
    for subcommand in ["cut", "anonymise"] {
        fs::write(&target, "precious").expect("a file");
        let arguments = [subcommand, &text(&golden()), &text(&target)];
        let output = program(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("it exists (use --force to overwrite it)"));
        assert_eq!(fs::read(&target).expect("a file"), b"precious");
        // A link to nowhere is there, too.
        let link = place.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        assert_eq!(program(&[subcommand, &text(&golden()), &text(&link)]).status.code(), Some(1));
        fs::remove_file(&link).expect("a link");
        let output = program(&[&arguments[..], &["--force"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(program(&["info", &text(&target)]).status.success());
        assert_eq!(names(&place), ["target"]);
    }
}

fn a_failure_leaves_no_file_and_says_why() {
    let place = tempfile::tempdir().expect("a directory");
    let whole = fs::read(golden()).expect("a recording");
    let damaged = place.path().join("damaged");
    let (mut older, mut newer) = (whole.clone(), whole.clone());
    (older[9], newer[9]) = (1, 3);
    let target = place.path().join("target");
    for (bytes, reason) in [
        (&whole[..whole.len() / 2], "the recording ends before its last frame"),
        (&older, "its format has version 1"),
        (&newer, "its format has version 3"),
        (b"no recording", "does not begin with the header of one"),
        (b"", "it is empty"),
    ] {
        fs::write(&damaged, bytes).expect("a file");
        for arguments in [
            &["info", &text(&damaged)][..],
            &["replay", "--ndjson", &text(&damaged)],
            &["cut", &text(&damaged), &text(&target)],
            &["anonymise", &text(&damaged), &text(&target)],
        ] {
            let output = program(arguments);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
            assert_eq!(names(&place), ["damaged"]);
        }
        // With --force, what was there is there still.
        fs::write(&target, "precious").expect("a file");
        program(&["cut", "--force", &text(&damaged), &text(&target)]);
        assert_eq!(fs::read(&target).expect("a file"), b"precious");
        fs::remove_file(&target).expect("a file");
    }
    let half = &whole[..whole.len() / 2];
    fs::write(&damaged, half).expect("a file");
    let described = stdout(&program(&["info", &text(&damaged)]));
    assert!(described.contains("firings:"), "what precedes the damage is described: {described}");
    let missing = program(&["info", "/no/such/recording"]);
    let said = stderr(&missing);
    assert!(said.contains("/no/such/recording") && said.contains("No such file"), "{said}");
    let nowhere = program(&["cut", &text(&golden()), "/no/such/directory/file"]);
    assert!(stderr(&nowhere).contains("cannot write /no/such/directory/file"));
}

fn what_makes_no_sense_has_another_exit_status() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["info"],
        &["cut", "one"],
        &["cut", "--from", "soon", "one", "two"],
        &["cut", "--until", "3 weeks", "one", "two"],
        &["cut", "--from", "-1", "one", "two"],
        &["cut", "--from", "2m", "one", "two"],
        &["cut", "--probe", "a:b:c:d:e", "one", "two"],
    ] {
        assert_eq!(program(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

fn the_help_names_every_subcommand_and_the_exit_statuses() {
    let help = stdout(&program(&["--help"]));
    for word in ["record", "info", "replay", "stub", "cut", "anonymise", "Exit status"] {
        assert!(help.contains(word), "{help}");
        if word != "Exit status" {
            let output = program(&[word, "--help"]);
            assert!(output.status.success() && stdout(&output).contains("Usage:"), "{word}");
        }
    }
}

fn a_recording_may_be_changed_in_its_place() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("file");
    fs::copy(golden(), &file).expect("a copy");
    for arguments in [&["cut", "--take", "2"][..], &["anonymise"]] {
        let path = text(&file);
        let output = program(&[arguments, &["--force", &path, &path]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let described = stdout(&program(&["info", &text(&file)]));
    assert!(described.contains("firings:        2\n"), "{described}");
    for edit in ["changed:        cut: at most 2 firings", "changed:        anonymised: "] {
        assert!(described.contains(edit), "{described}");
    }
}

fn the_program_zstd_reads_and_writes_recordings() {
    let place = tempfile::tempdir().expect("a directory");
    let [cut, plain, again] = ["cut", "plain", "again"].map(|name| text(&place.path().join(name)));
    assert!(program(&["cut", &text(&golden()), &cut]).status.success());
    for arguments in [["-dqfo", &plain, &cut], ["-qfo", &again, &plain]] {
        let zstd = Command::new("zstd").args(arguments).status().expect("zstd");
        assert!(zstd.success(), "{arguments:?}");
    }
    let described = |recording: &str| stdout(&program(&["info", "--json", recording]));
    assert!(!described(&cut).is_empty());
    assert_eq!((described(&plain), described(&again)), (described(&cut), described(&cut)));
}

/// The script's own output is the same in every run.
const SCRIPTS: [&str; 3] = [
    r#"BEGIN { trace(1); trace("two"); printf("%d %s\n", 3, "four"); @a["x"] = count(); @b["yy"] = sum(7); printa(@a); }"#,
    "#pragma D option quiet\nBEGIN { printf(\"%x\", 255); @ = quantize(9); } END { printa(@); }",
    r#"BEGIN { @[1, "b"] = avg(3); @n = lquantize(5, 0, 10, 2); setopt("quiet"); } END { trace("end"); }"#,
];

fn a_replay_prints_what_dtrace1_prints() {
    let place = tempfile::tempdir().expect("a directory");
    let dtrace1 =
        Dtrace1::find(place.path(), &["io.d".to_owned()]).expect("dtrace(1) and its libraries");
    for (n, script) in SCRIPTS.into_iter().enumerate() {
        let (source, recording) = (place.path().join("script.d"), place.path().join(n.to_string()));
        fs::write(&source, script).expect("a file");
        let mut dtrace = dtrace1.command();
        dtrace.arg("-s").arg(&source).args(["-c", "true"]);
        let live = dtrace.output().expect("dtrace(1) runs");
        assert!(live.status.success(), "{script}: {}", stderr(&live));
        run_synchronous(Script::new(script), ["true"])
            .record(&recording)
            .formatted()
            .report(|_| Ok(()))
            .run()
            .expect("a session");
        let replayed = program(&["replay", &text(&recording)]);
        assert!(replayed.status.success(), "{}", stderr(&replayed));
        assert_eq!(alike(&stdout(&replayed)), alike(&stdout(&live)), "{script}");
    }
}

/// Removes what differs between two runs: the CPU and the number of a probe, and addresses.
fn alike(printed: &str) -> Vec<String> {
    let line = |line: &str| {
        let is_headed = line.contains(":BEGIN ") || line.contains(":END ");
        let line = if is_headed { line.get(11..).unwrap_or(line) } else { line };
        line.trim_end().to_owned()
    };
    printed.lines().map(line).collect()
}

fn a_recording_says_where_it_comes_from_and_is_cut_by_time() {
    let place = tempfile::tempdir().expect("a directory");
    let (recording, part) = (place.path().join("whole"), place.path().join("part"));
    let command = ["sh", "-c", "sleep 1; exit 3"];
    let script = "BEGIN { trace(timestamp); trace(walltimestamp); } END { trace(1); @ = count(); }";
    run_synchronous(Script::new(script).named("mine.d"), command)
        .option("switchrate", "50ms")
        .record(&recording)
        .run()
        .expect("a session");
    let output = program(&["info", "--json", &text(&recording)]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(json["origin"]["command"], serde_json::json!(command));
    assert_eq!(json["scripts"][0], serde_json::json!(["mine.d", script]));
    let options = json["options"].as_array().expect("options");
    assert!(options.iter().any(|option| option[0] == "switchrate"), "{options:?}");
    assert_eq!(json["origin"]["crate_version"], env!("CARGO_PKG_VERSION"));
    for private in [std::env::var("HOSTNAME"), std::env::var("USER"), std::env::var("LOGNAME")] {
        let is_told = |name: &String| !name.is_empty() && name != "root" && name.len() > 3;
        if let Some(name) = private.ok().filter(is_told) {
            assert!(!stdout(&output).contains(&name), "{name} is in the recording");
        }
    }
    // The two clocks of the beginning relate the two of the script.
    let nanoseconds = |time: &serde_json::Value| {
        time["secs"].as_i64().expect("seconds") * 1_000_000_000
            + time["nanos"].as_i64().expect("rest")
    };
    let mut times = (0i64, 0i64);
    dtrace_consumer::replay(&recording)
        .rows_for("BEGIN", |both: (i64, i64)| {
            times = both;
            Ok(())
        })
        .run()
        .expect("a recording");
    let origin = &json["origin"];
    let told = nanoseconds(&origin["wall_clock"]) - nanoseconds(&origin["monotonic"]);
    assert!((times.1 - times.0 - told).abs() < 50_000_000, "{told} and {times:?}");

    let cut = |arguments: &[&str]| {
        let files = [text(&recording), text(&part)];
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let output = program(&[&["cut", "--force"], arguments, &files].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let info = program(&["info", "--json", &text(&part)]);
        assert!(info.status.success(), "{}", stderr(&info));
        let info: serde_json::Value = serde_json::from_str(&stdout(&info)).expect("JSON");
        (info["firings"].as_u64().expect("a number"), info)
    };
    let duration = nanoseconds(&json["duration"]);
    // BEGIN fires a second before END, and is delivered before.
    let middle = format!("{}ms", duration / 1_000_000 - 500);
    let ((first, info), (last, _)) = (cut(&["--until", &middle]), cut(&["--from", &middle]));
    assert_eq!((first, last, cut(&[]).0), (1, 1, 2));
    assert!(info["edits"][0]["details"].as_str().expect("text").starts_with("until"), "{info}");
}
