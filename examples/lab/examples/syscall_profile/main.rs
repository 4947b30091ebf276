//! Shows how many bytes a command's calls read and write, as histograms.
//!
//! ```text
//! cargo run -p dtrace-lab --example syscall_profile
//! cargo run -p dtrace-lab --example syscall_profile -- --plot sizes.svg cp file1 file2
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dtrace_consumer::aggregation::AggregationValue;
use dtrace_consumer::session::Source;
use dtrace_consumer::{Failure, Outcome, Session, replay, run_synchronous};
use dtrace_lab::command;
use dtrace_lab::sizes::{self, Counts};

const SCRIPT: &str = include_str!("sizes.d");

/// The default command: 256 KiB in pieces of 1 KiB through a pair of local sockets.
const COMMAND: &str = "ipc-benchmark -i local -b 1024 -t 262144 2proc";

/// Shows how many bytes a command's calls read and write
#[derive(Parser)]
struct Cli {
    /// Draw the histograms to FILE, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Show the recording in FILE instead of tracing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "command"])]
    replay: Option<PathBuf>,
    /// The command to trace; `ipc-benchmark` is built in
    #[arg(trailing_var_arg = true, default_values = COMMAND.split(' '))]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    command::main(show)
}

fn show(cli: Cli) -> Result<(), Box<dyn Error>> {
    let (calls, outcome) = match &cli.replay {
        Some(file) => calls_of(replay(file))?,
        None => {
            let mut session = run_synchronous(SCRIPT, ipc_benchmark::to_start(&cli.command)?);
            if let Some(file) = &cli.record {
                session = session.record(file);
            }
            calls_of(session)?
        }
    };
    if let Some(file) = &cli.plot {
        sizes::draw(&calls)?.save(file)?;
    }
    let mut out = io::stdout().lock();
    for (call, counts) in &calls {
        writeln!(out, "{call}: {} calls, by bytes", sizes::sum(counts))?;
        sizes::write_bars(counts, &mut out)?;
        writeln!(out)?;
    }
    writeln!(out, "{}", outcome.losses)?;
    Ok(())
}

/// Runs the session and returns what it counted, by the name of the call.
fn calls_of<S: Source>(
    session: Session<S>,
) -> Result<(BTreeMap<String, Counts>, Outcome), Failure> {
    let mut calls: BTreeMap<String, Counts> = BTreeMap::new();
    let outcome = session
        .walk(|entry| {
            let AggregationValue::Quantize(sizes) = entry.value() else { return Ok(()) };
            let counted = sizes.counted().filter_map(|it| Some((it.range.lower?, it.count)));
            calls.insert(entry.key(0)?, counted.collect());
            Ok(())
        })
        .run()?;
    Ok((calls, outcome))
}
