//! The IPC benchmark, run as its users run it: as a program.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use dtrace_test_support::programs::{example, stderr};
use ipc_benchmark::{Config, EX_USAGE, Error, IpcType, Mode, Report, run};
use serde_json::Value;

const TYPES: [&str; 3] = ["tcp", "pipe", "local"];
const MODES: [&str; 3] = ["1thread", "2thread", "2proc"];

fn benchmark(arguments: &str) -> Output {
    Command::new(example("ipc_benchmark"))
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts")
}

fn report(arguments: &str) -> Report {
    let output = benchmark(arguments);
    assert!(output.status.success(), "{arguments}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{arguments}");
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[track_caller]
fn assert_refused(arguments: &str, reason: &str) {
    let output = benchmark(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(EX_USAGE.into()), "{arguments}: {message}");
    assert!(message.contains(reason), "{arguments}: no {reason:?} in: {message}");
    assert!(message.contains("Usage: ipc-benchmark"), "{arguments}: no usage in: {message}");
    assert!(output.stdout.is_empty(), "{arguments}: results in spite of the error");
}

#[test]
fn every_type_in_every_mode_moves_all_bytes() {
    for ipc in TYPES {
        for mode in MODES {
            let report = report(&format!("-j -i {ipc} -b 4096 -t 1048576 {mode}"));
            let [sample] = &report.samples[..] else { panic!("{ipc} {mode}: {report:?}") };
            assert_eq!((sample.sent, sample.received), (1048576, 1048576), "{ipc} {mode}");
            assert!(sample.bandwidth > 0.0 && sample.time > 0.0, "{ipc} {mode}: {sample:?}");
        }
    }
}

#[test]
fn one_thread_moves_buffers_that_the_kernels_do_not_hold() {
    for ipc in TYPES {
        // Larger than a pipe, and with -s much larger than the socket buffers for one byte.
        for sizes in ["-b 4194304 -t 8388608", "-s -b 1 -t 5000"] {
            let report = report(&format!("-j -i {ipc} {sizes} 1thread"));
            assert_eq!(report.samples[0].received, report.configuration.total_size, "{ipc}");
        }
    }
}

#[test]
fn the_module_answers_with_the_report_that_the_program_prints() {
    for mode in [Mode::OneThread, Mode::TwoThreads] {
        let config = Config { buffer_size: 64, total_size: 640, ..Config::new(IpcType::Tcp, mode) };
        let report = run(&config, &[]).expect("a benchmark");
        assert_eq!(report.configuration, config);
        assert_eq!((report.samples[0].sent, report.samples[0].received), (640, 640));
        let json = serde_json::to_string(&report).expect("JSON");
        let read: Report = serde_json::from_str(&json).expect("a report");
        assert_eq!((read.configuration, read.port), (report.configuration, report.port));
        // serde_json may read a fraction back one bit off, so bandwidth and time are left out.
        assert_eq!(read.samples[0].received, 640);
        assert_eq!(read.samples[0].client_port, report.samples[0].client_port);
    }
}

#[test]
fn json_gives_configuration_and_results_in_one_object_a_line() {
    let output = benchmark("-j -v -i tcp -b 64 -t 64 2thread");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let configuration = &json["benchmark_configuration"];
    assert_eq!(configuration["ipctype"], "tcp");
    assert_eq!(configuration["mode"], "2thread");
    assert_eq!(configuration["buffersize"], 64);
    assert_eq!(configuration["totalsize"], 64);
    assert_eq!(json["benchmark_samples"].as_array().map(Vec::len), Some(1));
    assert!(json["benchmark_samples"][0]["bandwidth"].is_f64(), "{text}");
}

#[test]
fn ports_of_a_tcp_connection_are_reported() {
    let report = report("-j -i tcp -n 2 -b 64 -t 64 2proc");
    let port = report.port.expect("a port");
    assert_ne!(port, 0);
    for sample in &report.samples {
        assert!(sample.client_port.is_some_and(|client| client != 0 && client != port));
    }
    assert_eq!(self::report("-j -i local -t 131072 2thread").port, None);
}

#[test]
fn without_options_a_pipe_carries_16_mbytes_in_128_kbyte_buffers() {
    let report = report("-j 2thread");
    assert_eq!(report.configuration, Config::new(IpcType::Pipe, Mode::TwoThreads));
    assert_eq!(report.configuration.buffer_size, 131072);
    assert_eq!(report.samples[0].received, 16777216);
}

#[test]
fn each_iteration_is_a_sample() {
    let report = report("-j -n 3 -b 64 -t 128 -i local 2proc");
    assert_eq!(report.samples.len(), 3);
    assert!(report.samples.iter().all(|sample| sample.received == 128));
}

#[test]
fn rusage_is_reported_when_asked_for() {
    assert_eq!(report("-j -t 131072 2thread").samples[0].rusage, None);
    let thread = report("-j -g -t 131072 2thread").samples[0].rusage.expect("rusage");
    assert_eq!(thread.children, None);
    let processes = report("-j -g -t 131072 2proc").samples[0].rusage.expect("rusage");
    // A program cannot be started without touching a page.
    assert!(processes.children.expect("rusage of the child").minflt > 0);
}

#[test]
fn socket_buffers_are_set_when_asked_for() {
    assert_eq!(report("-j -i local -t 131072 2thread").samples[0].socket_buffers, None);
    let small = report("-j -s -i local -b 8192 -t 8192 2thread").samples[0].socket_buffers;
    let large = report("-j -s -i local -b 65536 -t 65536 2thread").samples[0].socket_buffers;
    let (small, large) = (small.expect("buffers"), large.expect("buffers"));
    assert!(small.send >= 8192 && small.receive >= 8192, "{small:?}");
    assert!(large.send > small.send && large.receive > small.receive, "{large:?} {small:?}");
}

#[test]
fn text_output_gives_bandwidth_and_with_v_the_configuration() {
    let text = |arguments| String::from_utf8(benchmark(arguments).stdout).expect("UTF-8");
    let plain = text("-i tcp -b 64 -t 64 2thread");
    assert!(plain.contains("KBytes/sec"), "{plain}");
    assert!(!plain.contains("buffersize"), "{plain}");
    let verbose = text("-v -i tcp -b 64 -t 64 2thread");
    for line in ["ipctype: tcp", "mode: 2thread", "buffersize: 64", "totalsize: 64"] {
        assert!(verbose.lines().any(|l| l == line), "no {line:?} in: {verbose}");
    }
    assert!(verbose.contains("port: ") && !verbose.contains("port: 0\n"), "{verbose}");
}

#[test]
fn bad_command_lines_exit_with_ex_usage() {
    assert_refused("", "MODE");
    assert_refused("3thread", "3thread");
    assert_refused("-i udp 2thread", "udp");
    assert_refused("-b many 2thread", "many");
    assert_refused("-b -1 2thread", "-1");
    assert_refused("-b 0 2thread", "buffer size");
    assert_refused("-b 4000000000 -t 4000000000 2thread", "buffer size");
    assert_refused("-t 0 2thread", "total size");
    assert_refused("-n 0 2thread", "iterations");
    assert_refused("-p 65536 -i tcp 2thread", "65536");
    assert_refused("--no-such-option 2thread", "--no-such-option");
    assert_refused("2thread 2proc", "2proc");
}

#[test]
fn a_total_that_is_no_multiple_of_the_buffer_is_refused() {
    let reason = "the total size (100) must be a multiple of the buffer size (64)";
    assert_refused("-b 64 -t 100 2thread", reason);
    let config =
        Config { buffer_size: 64, total_size: 100, ..Config::new(IpcType::Pipe, Mode::TwoThreads) };
    match run(&config, &[]) {
        Err(Error::Configuration(message)) => assert_eq!(message, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn help_is_no_error() {
    let output = benchmark("-h");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: ipc-benchmark"));
}

#[test]
fn a_port_in_use_is_a_failure_at_run_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let output = benchmark(&format!("-i tcp -p {port} 2thread"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("port {port}")), "{}", stderr(&output));
}

#[test]
fn a_sending_process_that_does_not_send_is_an_error() {
    // This test's executable, asked for tests that it does not have, says so and exits with 0.
    let reexec = ["--exact".into(), "--".into()];
    for ipc in [IpcType::Tcp, IpcType::Pipe, IpcType::Local] {
        match run(&Config::new(ipc, Mode::TwoProcesses), &reexec) {
            Err(Error::SendingProcess(_)) => {}
            other => panic!("{ipc:?}: {other:?}"),
        }
    }
}

/// What `execname == "ipc-benchmark"` compares on Linux.
#[cfg(target_os = "linux")]
#[test]
fn the_process_is_called_as_in_the_lab() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let mut child = Command::new(example("ipc_benchmark"))
        .args(["-n", "100000", "-b", "1", "-t", "1", "--json", "2thread"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The name is set before the first transfer, but not before this process goes on.
    let path = format!("/proc/{}/comm", child.id());
    let named = loop {
        let name = std::fs::read_to_string(&path).unwrap_or_default();
        if name.trim_end() == "ipc-benchmark" {
            break true;
        }
        if child.try_wait().expect("its state").is_some() {
            break false;
        }
        std::thread::yield_now();
    };
    child.kill().expect("it can be killed");
    child.wait().expect("its status");
    let mut message = String::new();
    let _ = BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut message);
    assert!(named, "the process ended under another name: {message}");
}

#[test]
fn the_receiving_end_listens_where_it_is_told_to() {
    let report = report("-i tcp -l 127.0.0.2 -b 64 -t 640 -j 2thread");
    assert_eq!(report.configuration.listen, Some(std::net::Ipv4Addr::new(127, 0, 0, 2)));
    assert_eq!(report.samples[0].received, 640);
    // An address of documentation is nobody's.
    let output = benchmark("-i tcp -l 192.0.2.1 2thread");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("listen on 192.0.2.1"), "{said}");
}

#[test]
fn a_connection_may_pass_through_something_that_forwards_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let [there, port] = [&taken, &free].map(|it| it.local_addr().expect("an address").port());
    drop(free);
    let forwarder = std::thread::spawn(move || {
        let (from, peer) = taken.accept().expect("a connection");
        let to = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the benchmark listens");
        let copied = std::io::copy(&mut &from, &mut &to).expect("bytes");
        to.shutdown(std::net::Shutdown::Write).expect("it is open");
        std::io::copy(&mut &to, &mut &from).expect("its end");
        (copied, peer.port())
    });
    let report = report(&format!("-i tcp -p {port} -c 127.0.0.1:{there} -b 64 -t 640 -j 2thread"));
    let (copied, client) = forwarder.join().expect("no panic");
    assert_eq!((copied, report.samples[0].received), (640, 640));
    assert_eq!(report.samples[0].client_port, Some(client));
}
