//! The TCP lab: shows every TCP segment of a command, and counts its system calls.
//!
//! ```text
//! cargo run --example tcp_segments
//! cargo run --example tcp_segments -- ipc-benchmark -i tcp -b 1024 -t 8192 2proc
//! cargo run --example tcp_segments -- --json curl -s http://example.com
//! ```
//!
//! Where tracing is not possible, it reports what is missing and replays a recording.

mod plot;
mod script;
mod segment;
mod system_call;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use dtrace_consumer::session::Recorded;
use dtrace_consumer::{Outcome, Session, preflight, replay, replay_from, run_synchronous};
use ipc_benchmark::{EX_USAGE, as_benchmark, to_start};
use serde::Serialize;

use script::Script;
use segment::{Segment, write_table};
use system_call::SystemCall;

/// The default command: a few writes over one TCP connection.
const COMMAND: &str = "ipc-benchmark -j -v -i tcp -b 64 -t 256 2thread";

/// A recording of the default command, made by `cargo run --example tcp_segments -- --record FILE`.
const RECORDING: &[u8] = include_bytes!("../recordings/tcp_segments.dtrace");

/// Prints the TCP segments of a command, and counts its system calls
#[derive(Parser)]
struct Cli {
    /// Print one JSON object per line; the command's output goes to standard error
    #[arg(long)]
    json: bool,
    /// Fail if tracing is not possible, instead of replaying a recording
    #[arg(long)]
    live: bool,
    /// The D script; the default is the best one for this machine
    #[arg(long)]
    script: Option<Script>,
    /// Record the session to FILE; implies --live
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Show the recording in FILE instead of tracing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["live", "script", "record", "command"])]
    replay: Option<PathBuf>,
    /// Draw the time-sequence graph to FILE, as SVG; needs a build with `--features plot`
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The command to trace; `ipc-benchmark` is built in
    #[arg(trailing_var_arg = true, default_values = COMMAND.split(' '))]
    command: Vec<OsString>,
}

/// What the probes found out about the command.
#[derive(Default)]
struct Findings {
    segments: Vec<Segment>,
    calls: Vec<(SystemCall, i64)>,
}

fn main() -> ExitCode {
    if let Some(end) = as_benchmark() {
        return end;
    }
    let cli = match Cli::try_parse().and_then(without_plots) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { EX_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let done = if let Some(file) = &cli.replay {
        show_recording(&cli, replay(file), &format!("the command of {}", file.display()))
    } else {
        match preflight(None).require() {
            Ok(_) => trace(&cli),
            Err(unavailable) if cli.live || cli.record.is_some() => Err(unavailable.into()),
            Err(unavailable) => {
                note(&unavailable);
                show_recording(&cli, replay_from(RECORDING), COMMAND)
            }
        }
    };
    match done {
        Ok(code) => code,
        // The reader of a pipe has closed it.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            note(&error);
            ExitCode::FAILURE
        }
    }
}

fn trace(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let (script, reason) = match cli.script {
        Some(script) => (script, "selected by --script"),
        None => Script::choose(),
    };
    note(format_args!("Tracing with the script {script}: {reason}."));
    let command = cli.command.join(OsStr::new(" ")).to_string_lossy().into_owned();
    if !cli.json {
        writeln!(io::stdout(), "## Starting {command}")?;
    }

    let mut found = Findings::default();
    let mut session = run_synchronous(script.text(), to_start(&cli.command)?)
        .rows(|segment| {
            found.segments.push(segment);
            Ok(())
        })
        .walk(|entry| {
            found.calls.push((SystemCall::counted_in(entry)?, entry.number()?));
            Ok(())
        });
    if let Some(file) = &cli.record {
        session = session.record(file);
    }
    if cli.json {
        session = session.configure_command(|command| {
            command.stdout(io::stderr());
        });
    }
    let outcome = session.run()?;

    found.show(cli, &command, &outcome)?;
    found.draw(cli)?;
    Ok(match outcome.command {
        Some(end) if end.refused_its_arguments() => EX_USAGE.into(),
        Some(end) if !end.finished() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn show_recording(
    cli: &Cli,
    recording: Session<Recorded<'_>>,
    name: &str,
) -> Result<ExitCode, Box<dyn Error>> {
    let mut found = Findings::default();
    let outcome = recording
        .rows(|segment| {
            found.segments.push(segment);
            Ok(())
        })
        .walk(|entry| {
            found.calls.push((SystemCall::counted_in(entry)?, entry.number()?));
            Ok(())
        })
        .run()?;

    let origin = match &outcome.session {
        Some(it) => format!("libdtrace {} on {} {}", it.library_version, it.kernel, it.machine),
        None => "an unknown machine".to_owned(),
    };
    if cli.json {
        Line::Replay { recorded_by: &origin }.write(io::stdout())?;
    }
    let banner = format!(
        "{RULE}\n## NOT LIVE: this is a recording of an earlier run of\n\
         ## {name}\n## with {origin}\n{RULE}"
    );
    if cli.json {
        note(banner)
    } else {
        writeln!(io::stdout(), "{banner}")?
    }
    found.show(cli, name, &outcome)?;
    found.draw(cli)?;
    Ok(ExitCode::SUCCESS)
}

const RULE: &str =
    "################################################################################";

impl Findings {
    /// Draws the segments, if that is wanted.
    fn draw(&self, cli: &Cli) -> Result<(), Box<dyn Error>> {
        let Some(file) = &cli.plot else { return Ok(()) };
        plot::draw(&self.segments, file)?;
        note(format_args!("The time-sequence graph is in {}.", file.display()));
        Ok(())
    }

    /// Prints the results, and how the command ended.
    fn show(&mut self, cli: &Cli, command: &str, outcome: &Outcome) -> io::Result<()> {
        // Each CPU has its own buffer, and they are delivered one after the other.
        self.segments.sort_by_key(|segment| segment.timestamp);
        self.calls.sort_by_key(|(_, count)| Reverse(*count));
        let machine = outcome.session.as_ref().map_or("", |session| &session.machine);
        let calls = self.calls.iter().map(|(call, count)| (call.name(machine), *count));
        let mut out = io::stdout().lock();
        if cli.json {
            let calls = calls.map(|(name, count)| Line::Syscall { name, count });
            let end = Line::Outcome {
                exit_code: outcome.command.and_then(|end| end.status.code()),
                drops: outcome.losses.total_drops(),
                faults: outcome.losses.total_faults(),
            };
            let mut lines = self.segments.iter().map(Line::Segment).chain(calls).chain([end]);
            return lines.try_for_each(|line| line.write(&mut out));
        }
        match outcome.command.map(|end| end.status) {
            Some(status) if status.success() => writeln!(out, "## Finished {command}")?,
            Some(status) => match status.code() {
                Some(code) if code == i32::from(EX_USAGE) => {
                    writeln!(out, "## Invalid command {command}")?
                }
                Some(code) => writeln!(out, "## Failed with the exit code {code}")?,
                None => writeln!(out, "## Failed with {status}")?,
            },
            None => writeln!(out, "## Unknown how {command} ended")?,
        }
        writeln!(out, "\n{} TCP segments", self.segments.len())?;
        if !self.segments.is_empty() {
            write_table(&self.segments, &mut out)?;
        }
        writeln!(out, "\n{} system calls", calls.clone().map(|(_, count)| count).sum::<i64>())?;
        for (name, count) in calls {
            writeln!(out, "{count:>10} {name}")?;
        }
        writeln!(out, "\n{}", outcome.losses)
    }
}

/// Refuses pictures before anything is traced, if this build has none.
fn without_plots(cli: Cli) -> Result<Cli, clap::Error> {
    if cli.plot.is_some() && !plot::AVAILABLE {
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, plot::UNAVAILABLE));
    }
    Ok(cli)
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    /// The first line of a replay.
    Replay {
        recorded_by: &'a str,
    },
    Segment(&'a Segment),
    Syscall {
        name: Cow<'a, str>,
        count: i64,
    },
    /// The last line. A command that was killed has no exit code.
    Outcome {
        exit_code: Option<i32>,
        drops: u64,
        faults: u64,
    },
}

impl Line<'_> {
    fn write(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)
    }
}

/// Prints a message besides the results. Ignores errors, because nobody may be reading it.
fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether the reader of a pipe has closed it. The program then ends without an error.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
