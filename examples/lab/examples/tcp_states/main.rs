//! Shows every change of state of a command's TCP sockets, as a table and as a diagram beside the protocol's.
//!
//! ```text
//! cargo run -p dtrace-lab --example tcp_states -- --plot states.svg
//! cargo run -p dtrace-lab --example tcp_states -- curl -s http://example.com
//! cargo run -p dtrace-lab --example tcp_states -- --replay examples/recordings/tcp_states.dtrace
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dtrace_consumer::session::Source;
use dtrace_consumer::{Failure, Outcome, Session, replay, run_synchronous};
use dtrace_lab::command;
use dtrace_lab::states::{self, State, Taken, is_expected};
use serde::{Deserialize, Serialize};

const SCRIPT: &str = include_str!("linux.d");

/// The default command: a few writes over one TCP connection.
const COMMAND: &str = "ipc-benchmark -i tcp -b 64 -t 256 2proc";

/// Shows the states of a command's TCP sockets
#[derive(Parser)]
struct Cli {
    /// Draw the state diagram to FILE, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write the state diagram to FILE in the language DOT, for Graphviz
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Show the recording in FILE instead of tracing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "command"])]
    replay: Option<PathBuf>,
    /// The command to trace, whose output goes to standard error; `ipc-benchmark` is built in
    #[arg(trailing_var_arg = true, default_values = COMMAND.split(' '))]
    command: Vec<OsString>,
}

/// A row of the script.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Change {
    /// D's `timestamp`, in nanoseconds.
    timestamp: u64,
    /// The socket's address in the kernel, which says only which socket it is.
    socket: u64,
    local_port: u16,
    remote_port: u16,
    from: State,
    to: State,
}

fn main() -> ExitCode {
    command::main(show)
}

fn show(cli: Cli) -> Result<(), Box<dyn Error>> {
    let (mut changes, outcome) = match &cli.replay {
        Some(file) => changes_of(replay(file))?,
        None => {
            let mut session = run_synchronous(SCRIPT, ipc_benchmark::to_start(&cli.command)?);
            if let Some(file) = &cli.record {
                session = session.record(file);
            }
            // Only the results go to standard output.
            changes_of(session.configure_command(|command| {
                command.stdout(io::stderr());
            }))?
        }
    };
    // Each CPU has its own buffer, and they are delivered one after the other.
    changes.sort_by_key(|change| change.timestamp);
    // A reader of the table that leaves early does not keep the files from being written.
    let mut taken = Taken::new();
    for change in &changes {
        *taken.entry((change.from, change.to)).or_default() += 1;
    }
    if let Some(file) = &cli.dot {
        fs::write(file, states::dot(&taken))
            .map_err(|e| format!("cannot write the diagram {}: {e}", file.display()))?;
    }
    if let Some(file) = &cli.plot {
        states::draw(&taken)?.save(file)?;
    }
    let mut out = io::stdout().lock();
    if cli.json {
        for change in &changes {
            serde_json::to_writer(&mut out, change).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    } else {
        write_table(&changes, &mut out)?;
        writeln!(out, "\n{}", outcome.losses)?;
    }
    Ok(())
}

/// Runs the session and returns its rows.
fn changes_of<S: Source>(session: Session<S>) -> Result<(Vec<Change>, Outcome), Failure> {
    let mut changes = Vec::new();
    let outcome = session
        .rows(|change: Change| {
            // The kernel also reports when a socket stays in its state.
            if change.from != change.to {
                changes.push(change);
            }
            Ok(())
        })
        .run()?;
    Ok((changes, outcome))
}

fn write_table(changes: &[Change], mut out: impl Write) -> io::Result<()> {
    let start = changes.first().map_or(0, |first| first.timestamp);
    writeln!(out, "{} changes of state", changes.len())?;
    if !changes.is_empty() {
        writeln!(
            out,
            "{:>10} {:16} {:>5} {:>6}  {:13} to",
            "time/us", "socket", "port", "remote", "from"
        )?;
    }
    for (change, name) in changes.iter().zip(names(changes)) {
        let note = if is_expected(change.from, change.to) { "" } else { "not in the diagram" };
        let line = format!(
            "{:>10} {name:16} {:>5} {:>6}  {:13} {:13} {note}",
            (change.timestamp - start) / 1000,
            change.local_port,
            change.remote_port,
            change.from,
            change.to,
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Names the socket of each change after what it was first seen to do.
fn names(changes: &[Change]) -> Vec<String> {
    let mut open: BTreeMap<u64, String> = BTreeMap::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let name = |change: &Change| {
        let name = open.entry(change.socket).or_insert_with(|| {
            let role = match change.to {
                State::Listen => "listener",
                State::SynSent => "client",
                State::SynReceived => "server",
                _ => "socket",
            };
            let count = counts.entry(role).or_default();
            *count += 1;
            format!("{role} {count}")
        });
        let name = name.clone();
        // Another socket may get its address.
        if change.to == State::Closed {
            open.remove(&change.socket);
        }
        name
    };
    changes.iter().map(name).collect()
}
