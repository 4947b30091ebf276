//! The TCP lab, run as its users run it: as a program, live as root and replayed as anybody.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{descendants_of, wait_until_gone};
use dtrace_test_support::programs::{as_nobody, example, stderr, stdout};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

live_tests! {
    needs: [Tracing],
    tests: [
        a_live_run_shows_the_whole_connection_and_every_byte,
        system_calls_of_all_threads_and_child_processes_are_counted,
        the_default_command_is_the_benchmark_of_the_lab,
        a_program_that_does_not_exist_is_an_error,
        ctrl_c_leaves_nothing_behind,
        a_recording_replays_to_the_same_segments_and_counts,
    ],
    long: [
        two_at_once_do_not_mix,
        a_command_that_refuses_its_arguments_is_invalid,
        a_command_that_fails_is_told_with_its_exit_code_or_signal,
        a_reader_that_leaves_early_ends_it_quietly,
    ],
    needs: [],
    tests: [
        a_command_line_that_is_not_understood_exits_with_ex_usage,
        an_ordinary_user_sees_what_is_missing_and_a_recording_under_a_banner,
        live_or_record_turns_the_replay_into_an_error,
        a_file_that_is_no_recording_is_an_error,
        what_was_recorded_on_freebsd_replays_here,
    ],
}

const BANNER: &str = "## NOT LIVE";

fn lab(arguments: &str) -> Output {
    Command::new(example("tcp_segments"))
        .arg("--live")
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts")
}

/// What `--json` prints, taken apart.
struct Run {
    segments: Vec<Value>,
    calls: BTreeMap<String, i64>,
    outcome: Value,
}

impl Run {
    fn of(output: &Output) -> Run {
        let mut run = Run { segments: vec![], calls: BTreeMap::new(), outcome: Value::Null };
        for line in stdout(output).lines() {
            let line: Value = serde_json::from_str(line).expect("one JSON object a line");
            match line["type"].as_str() {
                Some("segment") => run.segments.push(line),
                Some("syscall") => {
                    let count = line["count"].as_i64().expect("a count");
                    run.calls.insert(line["name"].as_str().expect("a name").to_owned(), count);
                }
                Some("outcome") => run.outcome = line,
                other => panic!("a line of type {other:?}"),
            }
        }
        run
    }

    fn live(arguments: &str) -> Run {
        let output = lab(&format!("--json {arguments}"));
        assert!(output.status.success(), "{arguments}: {}", stderr(&output));
        let run = Run::of(&output);
        assert_eq!(run.outcome["exit_code"], 0);
        assert_eq!((&run.outcome["drops"], &run.outcome["faults"]), (&0.into(), &0.into()));
        run
    }

    /// The segments that were sent, or received, by the end that is not the listener's.
    fn of_client(&self, direction: &str) -> Vec<&Value> {
        let port = self.client_port();
        let end = if direction == "send" { "source" } else { "destination" };
        self.segments.iter().filter(|s| s["direction"] == direction && s[end] == port).collect()
    }

    fn client_port(&self) -> Value {
        let syn = self.segments.iter().find(|s| s["flags"] == "SYN").expect("a SYN");
        syn["source"].clone()
    }
}

fn number(segment: &Value, field: &str) -> u32 {
    segment[field].as_u64().and_then(|n| n.try_into().ok()).expect("a number of 32 bits")
}

fn flags(segment: &Value) -> &str {
    segment["flags"].as_str().expect("flags")
}

/// The sequence number after the last byte, or FIN, of segments that follow each other without a gap.
/// TCP may send something twice when the machine is busy.
fn end_of_data(first: u32, segments: &[&Value]) -> u32 {
    segments.iter().fold(first, |next, segment| {
        let seq = number(segment, "seq");
        assert!(next.wrapping_sub(seq) < 1 << 31, "a gap after {next}: {segment}");
        further(next, segment)
    })
}

/// The end of a segment, or `next` if that is further.
fn further(next: u32, segment: &Value) -> u32 {
    let fin = u32::from(flags(segment).contains("FIN"));
    let length = number(segment, "length").wrapping_add(fin);
    let end = number(segment, "seq").wrapping_add(length);
    if end.wrapping_sub(next) < 1 << 31 { end } else { next }
}

/// The segments of one connection only, up to the end of the `total` bytes that the client sent.
///
/// Of thousands of segments a few may lack: the kernel skips a probe that fires, in an interrupt, while its own
/// program runs on the same CPU.
fn assert_one_connection(run: &Run, total: u32) {
    let ports: std::collections::BTreeSet<u32> =
        run.segments.iter().flat_map(|s| [number(s, "source"), number(s, "destination")]).collect();
    assert_eq!(ports.len(), 2, "more than one connection: {ports:?}");
    let sent = run.of_client("send");
    let first = number(sent[0], "seq").wrapping_add(1);
    let end = sent[1..].iter().fold(first, |next, segment| further(next, segment));
    assert_eq!(end, first.wrapping_add(total).wrapping_add(1), "data and FIN");
}

/// One connection from handshake to close, with `total` bytes sent by the client.
fn assert_whole_connection(run: &Run, total: u32) {
    let ports: std::collections::BTreeSet<u32> =
        run.segments.iter().flat_map(|s| [number(s, "source"), number(s, "destination")]).collect();
    assert_eq!(ports.len(), 2, "more than one connection: {ports:?}");

    let sent = run.of_client("send");
    assert_eq!(sent[0]["state"], "state-syn-sent");
    let first = number(sent[0], "seq").wrapping_add(1);
    let next = end_of_data(first, &sent[1..]);
    assert_eq!(next, first.wrapping_add(total).wrapping_add(1), "sent: data and FIN");

    let syn_ack = run.segments.iter().find(|s| flags(s) == "SYN ACK").expect("a SYN ACK");
    assert_eq!(syn_ack["state"], "state-syn-received");
    assert_eq!(number(syn_ack, "ack"), first);
    let last = run.segments.iter().rfind(|s| s["source"] != run.client_port()).expect("an answer");
    assert_eq!(number(last, "ack"), next, "everything is acknowledged");

    let data: Vec<_> = run.segments.iter().filter(|s| number(s, "length") > 0).collect();
    for direction in ["send", "receive"] {
        let data: Vec<_> = data.iter().copied().filter(|s| s["direction"] == direction).collect();
        let fin = u32::from(data.iter().any(|s| flags(s).contains("FIN")));
        let end = first.wrapping_add(total).wrapping_add(fin);
        assert_eq!(end_of_data(first, &data), end, "{direction}");
    }
    // Data may still be on their way when the client closes.
    const LIFE: [&str; 5] = ["syn-sent", "established", "fin-wait-1", "fin-wait-2", "time-wait"];
    let age = |segment: &&Value| {
        let state = segment["state"].as_str().and_then(|s| s.strip_prefix("state-"));
        LIFE.iter().position(|it| Some(*it) == state).unwrap_or_else(|| panic!("{segment}"))
    };
    let ages: Vec<usize> = sent.iter().map(age).collect();
    assert!(ages.is_sorted() && ages.contains(&1) && ages.contains(&2), "{ages:?}");
}

fn a_live_run_shows_the_whole_connection_and_every_byte() {
    for mode in ["1thread", "2thread", "2proc"] {
        let run = Run::live(&format!("ipc-benchmark -i tcp -b 64 -t 1024 {mode}"));
        assert_whole_connection(&run, 1024);
    }
}

fn system_calls_of_all_threads_and_child_processes_are_counted() {
    for mode in ["2thread", "2proc"] {
        let writes = |buffers: u32| {
            let total = 64 * buffers;
            Run::live(&format!("ipc-benchmark -i tcp -b 64 -t {total} {mode}")).calls["write"]
        };
        // What the program writes besides is the same in both.
        assert_eq!(writes(30) - writes(10), 20, "{mode}");
    }
}

fn two_at_once_do_not_mix() {
    let start = |total: u32| {
        Command::new(example("tcp_segments"))
            .args(["--live", "--json", "ipc-benchmark", "-i", "tcp", "-b", "64", "2thread", "-t"])
            .arg(total.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    // Long enough for each to be traced while the other one transfers.
    let totals = [64 * 3000, 64 * 4000];
    let both = totals.map(start);
    for (child, total) in both.into_iter().zip(totals) {
        let output = child.wait_with_output().expect("its output");
        assert!(output.status.success(), "{}", stderr(&output));
        let run = Run::of(&output);
        assert_eq!((&run.outcome["drops"], &run.outcome["faults"]), (&0.into(), &0.into()));
        assert_one_connection(&run, total);
    }
}

fn the_default_command_is_the_benchmark_of_the_lab() {
    let output = lab("");
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    let command = "ipc-benchmark -j -v -i tcp -b 64 -t 256 2thread";
    assert!(text.starts_with(&format!("## Starting {command}\n{{")), "{text}");
    assert!(text.contains(&format!("\n## Finished {command}\n")), "{text}");
    assert!(text.contains("state-established") && text.contains(" write\n"), "{text}");
    assert!(text.ends_with("\nnothing lost\n"), "{text}");
    assert!(!text.contains(BANNER), "{text}");
    assert!(stderr(&output).contains("Tracing with the script "), "{}", stderr(&output));
}

fn a_command_that_refuses_its_arguments_is_invalid() {
    let output = lab("ipc-benchmark -i tcp 3thread");
    assert_eq!(output.status.code(), Some(64));
    let text = stdout(&output);
    assert!(text.contains("\n## Invalid command ipc-benchmark -i tcp 3thread\n"), "{text}");
    assert!(stderr(&output).contains("invalid value '3thread'"), "{}", stderr(&output));
}

fn a_command_that_fails_is_told_with_its_exit_code_or_signal() {
    for (script, expected) in
        [("exit 3", "## Failed with the exit code 3\n"), ("kill -9 $$", "## Failed with signal: 9")]
    {
        let output = Command::new(example("tcp_segments"))
            .args(["--live", "--", "sh", "-c", script])
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{script}");
        assert!(stdout(&output).contains(expected), "{script}: {}", stdout(&output));
    }
}

fn a_program_that_does_not_exist_is_an_error() {
    let output = lab("no-such-program");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot start no-such-program"), "{}", stderr(&output));
}

fn a_command_line_that_is_not_understood_exits_with_ex_usage() {
    for arguments in ["--no-such-option", "--script none", "--replay x --live", "--replay x ls"] {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments}: {}", stderr(&output));
    }
}

fn a_reader_that_leaves_early_ends_it_quietly() {
    let mut child = Command::new(example("tcp_segments"))
        .arg("--live")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("## Starting"), "{first}");
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    let status = child.wait().expect("its status");
    assert!(status.success(), "{status}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn ctrl_c_leaves_nothing_behind() {
    // Whoever runs the tests may ignore the signal, and programs inherit that.
    let mut child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(example("tcp_segments"))
        .args(["--live", "--", "sh", "-c", "echo running; exec sleep 1000"])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.lines().map_while(Result::ok).find(|line| line == "running").expect("it runs");
    let pid = Pid::from_raw(child.id().cast_signed());
    let processes = descendants_of(child.id());
    assert!(processes.len() >= 2, "the command and the worker: {processes:?}");
    // As a terminal does.
    killpg(pid, Signal::SIGINT).expect("it can be interrupted");
    let status = child.wait().expect("its status");
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{status}");
    wait_until_gone(&processes);
}

fn an_ordinary_user_sees_what_is_missing_and_a_recording_under_a_banner() {
    let output = as_nobody("tcp_segments", &[]);
    let (text, said) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("tracing is not possible here"), "{said}");
    assert!(said.contains("privilege"), "{said}");
    let banner: Vec<_> = text.lines().take(2).collect();
    assert!(banner[0].chars().all(|c| c == '#') && banner[1].starts_with(BANNER), "{text}");
    assert!(text.contains("state-syn-sent") && text.contains("SYN ACK"), "{text}");
    assert!(!text.contains("## Starting"), "{text}");

    let output = as_nobody("tcp_segments", &["--json"]);
    let text = stdout(&output);
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["type"], "replay");
    assert!(stderr(&output).contains(BANNER), "{}", stderr(&output));
}

fn live_or_record_turns_the_replay_into_an_error() {
    for arguments in [&["--live"][..], &["--record", "/dev/null"]] {
        let output = as_nobody("tcp_segments", arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains("missing  privilege"), "{said}");
    }
}

fn a_recording_replays_to_the_same_segments_and_counts() {
    let file = std::env::temp_dir().join(format!("tcp_segments-{}.dtrace", std::process::id()));
    let path = file.to_str().expect("UTF-8");
    let live = lab(&format!("--json --record {path}"));
    assert!(live.status.success(), "{}", stderr(&live));
    let replayed = Command::new(example("tcp_segments"))
        .args(["--json", "--replay", path])
        .output()
        .expect("the program starts");
    std::fs::remove_file(&file).expect("the recording");
    let text = stdout(&replayed);
    let (first, rest) = text.split_once('\n').expect("lines");
    assert!(first.contains(r#""type":"replay""#), "{first}");
    assert_eq!(rest, stdout(&live));
}

/// The script `fbt` shows what is received: both ends of the connection, because the machine sent it to itself.
fn what_was_recorded_on_freebsd_replays_here() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recordings/tcp_segments-freebsd.dtrace");
    let replayed = Command::new(example("tcp_segments"))
        .args(["--json", "--replay", file])
        .output()
        .expect("the program starts");
    let text = stdout(&replayed);
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_type = |name: &'static str| lines.iter().filter(move |line| line["type"] == name);
    assert!(lines[0]["recorded_by"].as_str().is_some_and(|by| by.contains("12.1-RELEASE")));
    let segments: Vec<&Value> = of_type("segment").collect();
    assert_eq!(segments.len(), 12, "{text}");
    assert!(segments.iter().all(|segment| segment["direction"] == "receive"), "{text}");
    assert_eq!(segments[0]["state"], "state-syn-sent");
    let bytes: u64 = segments.iter().filter_map(|segment| segment["length"].as_u64()).sum();
    assert_eq!(bytes, 256);
    let calls: i64 = of_type("syscall").filter_map(|line| line["count"].as_i64()).sum();
    assert_eq!(calls, 207, "{text}");
}

fn a_file_that_is_no_recording_is_an_error() {
    for file in ["/dev/null", "/no/such/file", "/proc/self/exe"] {
        let output = Command::new(example("tcp_segments"))
            .args(["--replay", file])
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{file}: {}", stdout(&output));
        assert_eq!(stdout(&output), "", "{file}");
    }
}
