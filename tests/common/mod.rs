//! What the tests of stock kernels share: the benchmark as a traced command, and whether the kernel
//! has function tracing at all.
#![allow(dead_code)]

use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::Command;

use support::ipc_benchmark::Report;

/// Whether the running kernel has `fbt` probes. Where the lane says that it must, a kernel without
/// is a failure.
pub(crate) fn has_function_tracing() -> bool {
    // The kernel's own list of what can be probed; libdtrace's fbt is made of it.
    let listed = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .into_iter()
        .any(|d| std::fs::metadata(format!("{d}/available_filter_functions")).is_ok());
    if !listed {
        let required = std::env::var_os("DTRACE_STOCK_KERNEL");
        assert!(required.is_none(), "{required:?} is said to have function tracing, and has not");
        eprintln!("not tested: this kernel has no function tracing; `vm/lane test` has one");
    }
    listed
}

/// A disk that tests may write to; `vm/lane` names one.
pub(crate) fn scratch_disk() -> Option<String> {
    let disk = std::env::var("DTRACE_SCRATCH_DISK").ok();
    if disk.is_none() {
        eprintln!("not tested: DTRACE_SCRATCH_DISK names no disk that may be overwritten");
    }
    disk
}

/// A program that cargo leaves in the directory of examples, beside this test's own.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let program = test.ancestors().nth(2).expect("PROFILE/deps").join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}

/// A command line, at its blanks.
pub(crate) fn spawn_words(line: &str) -> Vec<String> {
    line.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The IPC benchmark as a command, and its report when it has run.
pub(crate) struct Benchmark {
    words: Vec<String>,
    output: File,
}

impl Benchmark {
    pub(crate) fn new(arguments: &str) -> Benchmark {
        let program = example("ipc_benchmark").to_string_lossy().into_owned();
        let words = [program, "-j".to_owned()].into_iter().chain(spawn_words(arguments)).collect();
        let path = std::env::temp_dir().join(format!(
            "ipc-benchmark-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let output = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let output = output.expect("a file for the report");
        std::fs::remove_file(path).expect("the file stays open without a name");
        Benchmark { words, output }
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.words.clone()
    }

    /// Lets the command write its report to where `report` reads it.
    pub(crate) fn capture(&self, command: &mut Command) {
        command.stdout(self.output.try_clone().expect("another descriptor"));
    }

    pub(crate) fn report(&mut self) -> Report {
        let mut text = String::new();
        self.output.rewind().expect("a file can be rewound");
        self.output.read_to_string(&mut text).expect("what the benchmark wrote");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// The ports of the sending and of the receiving end.
    pub(crate) fn ports(&mut self) -> (u16, u16) {
        let report = self.report();
        let client = report.samples[0].client_port.expect("TCP has ports");
        (client, report.port.expect("TCP has ports"))
    }
}
