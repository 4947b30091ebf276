//! Draws a flame graph of a command, or of a running process.
//!
//! ```text
//! cargo run -p dtrace-flame-example --example flame -- sort -R /usr/share/dict/words
//! cargo run -p dtrace-flame-example --example flame -- -p 1234 --seconds 10 --kernel -o server.svg
//! ```
//!
//! A probe fires at a fixed rate on each CPU, and the D script counts the stacks that it finds. docs/stacks.md
//! says what a program needs for whole stacks.

mod names;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use dtrace_consumer::aggregation::Mode;
use dtrace_consumer::session::{EndedBy, Traces};
use dtrace_consumer::value::FoldedStacks;
use dtrace_consumer::{
    Aggregated, CallbackResult, Consumer, Failure, Outcome, Session, StopHandle, Wants, replay,
    run_synchronous, trace,
};
use inferno::flamegraph::{self, Options, Palette, color::MultiPalette};

use names::function_name;

/// Draws a flame graph of a command or process, from samples of its stacks
#[derive(Parser)]
struct Cli {
    /// Sample this running process until it ends
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// The SVG file to write
    #[arg(short, long, value_name = "FILE", default_value = "flame.svg")]
    output: PathBuf,
    /// Also write the stacks as text, in the folded format
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// Include the stacks of the kernel
    #[arg(short, long)]
    kernel: bool,
    /// Put the module before the name of each function
    #[arg(short, long)]
    modules: bool,
    /// Stop after this many seconds, and ask the command to end
    #[arg(short, long)]
    seconds: Option<u32>,
    /// How often to sample each CPU, in Hz
    #[arg(short, long, default_value_t = 99)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4999))]
    rate: u32,
    /// How many frames of a stack to keep; by default the kernel's limit, usually 127
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    frames: Option<u32>,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Draw the recording in FILE instead of sampling
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pid", "seconds", "rate", "frames", "record", "command"])]
    replay: Option<PathBuf>,
    /// The command and its arguments; processes that it starts are not sampled
    #[arg(trailing_var_arg = true, conflicts_with = "pid")]
    #[arg(required_unless_present_any = ["pid", "replay"])]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // EX_USAGE of sysexits(3).
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    match flame(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn flame(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let mut samples = Samples { has_modules: cli.modules, ..Samples::default() };
    let outcome = match &cli.replay {
        Some(file) => replay(file).mode(Mode::Delta).consumer(&mut samples).run()?,
        None => sample(cli, &mut samples)?,
    };
    let stacks = &samples.stacks;
    let mut said = io::stderr();
    writeln!(
        said,
        "{} samples, {} stacks; {}",
        stacks.total(),
        stacks.iter().len(),
        outcome.losses
    )?;
    // A command that was asked to end has not failed.
    if let (EndedBy::Command, Some(command)) = (outcome.ended_by, outcome.command)
        && !command.status.success()
    {
        writeln!(said, "the command failed: {}", command.status)?;
    }
    if stacks.is_empty() {
        return Err("no samples: the process was never found on a CPU".into());
    }
    if let Some(file) = &cli.folded {
        fs::write(file, stacks.to_string()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    draw(stacks, subject(cli), &cli.output)
        .map_err(|e| format!("{}: {e}", cli.output.display()))?;
    writeln!(said, "{}", cli.output.display())?;
    Ok(())
}

/// Returns the D script.
fn script(cli: &Cli) -> String {
    let pid = cli.pid.map_or("$target".to_owned(), |pid| pid.to_string());
    let kernel = if cli.kernel { ", stack()" } else { "" };
    format!("profile-{}hz /pid == {pid}/ {{ @[execname, ustack(){kernel}] = count(); }}", cli.rate)
}

fn sample(cli: &Cli, samples: &mut Samples) -> Result<Outcome, Box<dyn Error>> {
    // Ctrl-C ends the sampling, not the program.
    let stop = StopHandle::new();
    samples.limit = cli.seconds.map(|seconds| (Duration::from_secs(seconds.into()), stop.clone()));
    let on_interrupt = stop.clone();
    ctrlc::set_handler(move || on_interrupt.stop())?;
    Ok(match cli.pid {
        Some(pid) => run(trace(script(cli)).grab(pid), cli, &stop, samples)?,
        None => run(run_synchronous(script(cli), &cli.command), cli, &stop, samples)?,
    })
}

fn run<S: Traces>(
    session: Session<S>,
    cli: &Cli,
    stop: &StopHandle,
    samples: &mut Samples,
) -> Result<Outcome, Failure> {
    let mut session = session
        .stop_handle(stop)
        .mode(Mode::Delta)
        // Names can be looked up only while the process exists.
        .walk_every(Duration::from_secs(1));
    if let Some(frames) = cli.frames {
        for name in ["ustackframes", "stackframes"] {
            session = session.option(name, frames.to_string());
        }
    }
    if let Some(file) = &cli.record {
        session = session.record(file);
    }
    session.consumer(samples).run()
}

/// Collects the stacks.
#[derive(Default)]
struct Samples {
    stacks: FoldedStacks,
    has_modules: bool,
    /// How long to sample, and what then ends it.
    limit: Option<(Duration, StopHandle)>,
}

impl Consumer for Samples {
    fn wants(&self) -> Wants {
        // Walks need neither firings nor their text, nor does a recording have to have them.
        Wants::NOTHING
    }

    fn on_start(&mut self, _: &Outcome) -> CallbackResult {
        // The time counts from here: setting up takes seconds on a busy machine.
        if let Some((limit, stop)) = self.limit.take() {
            thread::spawn(move || {
                thread::sleep(limit);
                stop.stop();
            });
        }
        Ok(())
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        let mut folded = entry.folded().named_by(&function_name).with_kernel_mark();
        if self.has_modules {
            folded = folded.with_modules();
        }
        Ok(self.stacks.add(&folded, entry.number()?)?)
    }
}

/// Returns what the graph shows.
fn subject(cli: &Cli) -> String {
    match (&cli.replay, cli.pid) {
        (Some(file), _) => file.display().to_string(),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => cli.command.join(OsStr::new(" ")).to_string_lossy().into_owned(),
    }
}

/// Draws the stacks. Frames of the kernel have their own colour.
fn draw(stacks: &FoldedStacks, title: String, file: &Path) -> io::Result<()> {
    let mut options = Options::default();
    options.title = title;
    options.subtitle = Some(format!("{} samples", stacks.total()));
    options.count_name = "samples".to_owned();
    options.colors = Palette::Multi(MultiPalette::Java);
    let text = stacks.to_string();
    let mut svg = BufWriter::new(File::create(file)?);
    flamegraph::from_lines(&mut options, text.lines(), &mut svg)?;
    svg.flush()
}
