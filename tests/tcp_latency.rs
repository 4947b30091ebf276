//! Does the example `tcp_latency` measure through a delay, and leave nothing behind however it ends?

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dtrace_test_support::leftovers::alone;
use dtrace_test_support::processes::{Killed, descendants_of, orphans_ended, wait_until};
use dtrace_test_support::programs::{as_nobody, example, examples_are_reachable, stderr, stdout};
use dtrace_test_support::{Missing, live_tests};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

live_tests! {
    serial,
    needs: [Tracing, Command("ip"), Check(tun)],
    tests: [
        windows_and_bandwidths_are_measured_with_the_delay_of_a_tun_device,
        an_interrupt_while_windows_are_traced_leaves_nothing,
    ],
    needs: [Root, Command("ip"), Check(tun)],
    tests: [
        an_interrupt_leaves_nothing,
        a_kill_leaves_nothing,
    ],
    needs: [Root, Command("setpriv"), Check(examples_are_reachable)],
    tests: [
        an_ordinary_user_measures_and_is_told_what_is_missing,
    ],
    needs: [],
    tests: [
        a_proxy_is_called_one_and_delays_the_bytes,
        a_link_that_cannot_be_made_is_an_error,
        bad_command_lines_exit_with_ex_usage,
    ],
}

fn tun() -> Result<(), Missing> {
    let device = fs::File::options().read(true).write(true).open("/dev/net/tun");
    device.map(drop).map_err(|error| Missing::new(format!("/dev/net/tun: {error}")))
}

/// Half a megabyte in small pieces, which is soon transferred.
const SMALL: [&str; 6] = ["--repeat", "1", "--bytes", "524288", "--buffer", "16384"];

fn tcp_latency(arguments: &[&str]) -> Output {
    let mut command = Command::new(example("tcp_latency"));
    command.args(arguments).output().expect("the program starts")
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("it is written");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the lines of a type.
fn of_type<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == name).collect()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name}: {value}"))
}

fn windows_and_bandwidths_are_measured_with_the_delay_of_a_tun_device() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let [csv, ndjson, plot] = ["it.csv", "it.ndjson", "it"].map(|it| at(it).display().to_string());
    let files = ["--csv", &csv, "--ndjson", &ndjson, "--plot", &plot];
    let output =
        tcp_latency(&[&["--network", "tun", "--delays", "0,20"], &SMALL[..], &files[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("TUN device"), "{}", stdout(&output));

    let lines = lines(Path::new(&ndjson));
    assert_eq!(lines[0]["network"], "tun");
    let transfers = of_type(&lines, "transfer");
    assert_eq!(transfers.len(), 4);
    for transfer in &transfers {
        // The handshake is over before the time begins. The bytes take the way at least once; those that
        // exceed the initial windows must wait for an acknowledgement.
        let least = number(transfer, "delay_ms") / 1000.0 * 3.0;
        assert!(number(transfer, "seconds") >= least, "{transfer}");
        let bandwidth = 524_288.0 / number(transfer, "seconds");
        assert!((number(transfer, "bandwidth") - bandwidth).abs() < 1.0, "{transfer}");
    }
    for buffers in ["fixed", "auto"] {
        let windows = of_type(&lines, "windows").into_iter().filter(|it| it["buffers"] == buffers);
        let windows: Vec<&Value> = windows.collect();
        assert!(windows.iter().all(|it| it["delay_ms"] == 20 && number(it, "congestion") > 0.0));
        let times: Vec<f64> = windows.iter().map(|it| number(it, "time")).collect();
        assert!(times.is_sorted() && times[0] == 0.0, "{times:?}");
        // A round trip passes between the first acknowledgement and that of what it allowed to send.
        assert!(*times.last().expect("windows") >= 0.04, "{times:?}");
        let acknowledged = number(windows.last().expect("windows"), "acknowledged");
        assert!((1.0..=524_288.0).contains(&acknowledged), "{acknowledged}");
        let most = windows.iter().map(|it| number(it, "in_flight") as u64).max();
        assert!(most.is_some_and(|most| (1..=524_289).contains(&most)), "{most:?}");
    }
    let rows = fs::read_to_string(&csv).expect("it is written");
    assert_eq!(rows.lines().count(), 5, "{rows}");
    for name in ["it-bandwidth.svg", "it-window.svg"] {
        let picture = fs::read_to_string(at(name)).expect("it is drawn");
        assert!(picture.trim_end().ends_with("</svg>"), "{name}");
    }
}

/// A transfer that takes minutes, and the processes that make it.
struct Running {
    program: Killed,
    said: BufReader<std::process::ChildStderr>,
    directory: tempfile::TempDir,
}

impl Running {
    /// Starts it, and waits until it says that it makes the step.
    fn until(step: &str, arguments: &[&str]) -> Running {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(example("tcp_latency"));
        command
            .args(["--network", "tun", "--repeat", "1", "--csv", "it.csv", "--plot", "it"])
            .args(arguments)
            .current_dir(&directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut program = Killed(command.spawn().expect("the program starts"));
        let mut said = BufReader::new(program.0.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains(step) {
            line.clear();
            assert!(said.read_line(&mut line).expect("text") > 0, "it ends before {step}");
        }
        Running { program, said, directory }
    }

    /// Waits until a process has a network of its own, and returns that.
    fn private_network(&self) -> String {
        let own = network("self").expect("/proc is mounted");
        let mut found = None;
        wait_until("a process has its own network", || {
            let mut networks = descendants_of(self.program.0.id())
                .into_iter()
                .filter_map(|pid| network(&pid.to_string()));
            found = networks.find(|it| *it != own);
            found.is_some()
        });
        found.expect("it is found")
    }

    /// Sends a signal to the program alone, and waits until it and the network are gone. Returns its exit
    /// status.
    fn end_by(mut self, signal: Signal) -> Option<i32> {
        let network = self.private_network();
        kill(Pid::from_raw(self.program.0.id().cast_signed()), signal).expect("it runs");
        let status = self.program.0.wait().expect("a child");
        orphans_ended();
        assert!(!networks().contains(&network), "no process is in its network");
        let files = fs::read_dir(&self.directory).expect("a directory").count();
        assert_eq!(files, 0, "results of an unfinished measurement are written");
        let mut rest = String::new();
        while self.said.read_line(&mut rest).expect("text") > 0 {}
        status.code()
    }
}

/// Returns the network namespace of a process.
fn network(pid: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    Some(link.display().to_string())
}

/// Returns the network namespaces of all processes.
fn networks() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    processes.filter_map(|it| network(&it.file_name().to_string_lossy())).collect()
}

/// With this delay a transfer takes minutes.
const SLOW: [&str; 2] = ["--delays", "2000"];

fn an_interrupt_leaves_nothing() {
    let (_lock, guard) = alone();
    let running = Running::until("[1/2]", &SLOW);
    assert_eq!(running.end_by(Signal::SIGINT), Some(130));
    guard.check();
}

fn a_kill_leaves_nothing() {
    let (_lock, guard) = alone();
    assert_eq!(Running::until("[1/2]", &SLOW).end_by(Signal::SIGKILL), None);
    guard.check();
}

fn an_interrupt_while_windows_are_traced_leaves_nothing() {
    let (_lock, guard) = alone();
    let arguments = ["--delays", "0", "--window", "2000", "--bytes", "131072000"];
    let running = Running::until("[1/2] windows", &arguments);
    assert_eq!(running.end_by(Signal::SIGINT), Some(130));
    guard.check();
}

fn an_ordinary_user_measures_and_is_told_what_is_missing() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("it is ours");
    let window = directory.path().join("it-window.svg");
    fs::write(&window, "an earlier picture").expect("a file");
    fs::set_permissions(&window, Permissions::from_mode(0o666)).expect("it is ours");
    let plot = directory.path().join("it").display().to_string();
    let output =
        as_nobody("tcp_latency", &[&["--delays", "1", "--plot", &plot], &SMALL[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("auto"), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(said.contains("The windows are missing") && said.contains("privilege"), "{said}");
    assert!(said.contains("no acknowledgement was traced"), "{said}");
    assert_eq!(fs::read_to_string(window).expect("it stays"), "an earlier picture");
    let drawn = fs::read_to_string(directory.path().join("it-bandwidth.svg"));
    assert!(drawn.expect("it is drawn").contains("auto-resized buffers"));
}

fn a_proxy_is_called_one_and_delays_the_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let csv = directory.path().join("it.csv").display().to_string();
    let arguments = ["--network", "proxy", "--delays", "50", "--csv", &csv];
    let output = tcp_latency(&[&arguments, &SMALL[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for text in [stdout(&output), stderr(&output)] {
        assert!(text.contains("TCP itself sees no delay"), "{text}");
    }
    let rows = fs::read_to_string(&csv).expect("it is written");
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0][5], "seconds");
    assert_eq!(rows.len(), 3);
    for row in &rows[1..] {
        assert_eq!(row[..3], ["proxy", "524288", "50"]);
        assert!(row[5].parse::<f64>().expect("a number") >= 0.05, "{row:?}");
    }
}

fn a_link_that_cannot_be_made_is_an_error() {
    let output = Command::new(example("tcp_latency"))
        .args(["--network", "netem"])
        // Neither ip(8) nor tc(8) is found.
        .env("PATH", "/nonexistent")
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("iproute2") || said.contains("private network"), "{said}");
    assert_eq!(stdout(&output), "");
}

fn bad_command_lines_exit_with_ex_usage() {
    for arguments in [
        &["--delays", "1,x"][..],
        &["--delays", "10001"],
        &["--repeat", "0"],
        &["--bytes", "100"],
        &["--bytes", "0"],
        &["--buffer", "0"],
        &["--csv", "/nonexistent/it.csv"],
        &["--network", "none"],
        &["surplus"],
    ] {
        let output = tcp_latency(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}
