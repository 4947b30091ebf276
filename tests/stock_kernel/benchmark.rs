//! How is the IPC benchmark traced, and what does it report?

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Command;

use dtrace_test_support::programs::example;
use ipc_benchmark::Report;

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
