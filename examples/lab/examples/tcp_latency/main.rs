//! The TCP latency lab: how does the bandwidth of a TCP connection depend on its latency and its buffers?
//!
//! ```text
//! cargo run -p dtrace-lab --example tcp_latency
//! cargo run -p dtrace-lab --example tcp_latency -- --delays 0,50,100 --repeat 5 --plot latency
//! ```
//!
//! It runs the IPC benchmark over a link with a delay, with fixed and with auto-resized socket buffers. For
//! one delay it also traces the connection's windows, where tracing is possible. docs/lab.md shows results.

mod link;
mod measure;
mod results;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, error::ErrorKind};
use dtrace_consumer::preflight;
use dtrace_lab::command::{self, Interrupted};
use dtrace_lab::latency::{Buffers, Measurement, Trace};
use ipc_benchmark::{Config, IpcType, Mode};

use link::Kind;
use measure::{AS_TRANSFER, Interrupt, Job};
use results::{Results, Transfer};

/// Measures the bandwidth of a TCP connection against its latency
#[derive(Parser)]
struct Cli {
    /// Delays in one direction, in milliseconds
    #[arg(long, value_name = "MS,…", value_delimiter = ',', default_value = "0,5,10,20,40")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=10_000))]
    delays: Vec<u32>,
    /// Transfers for each delay and each kind of buffers
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Bytes of each transfer; a multiple of --buffer
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    bytes: u64,
    /// Bytes of each write(2), and of the fixed socket buffers
    #[arg(long, value_name = "BYTES", default_value_t = Config::BUFFER_SIZE)]
    buffer: u32,
    /// What delays the packets; the default is the first that this machine has
    #[arg(long)]
    network: Option<Kind>,
    /// The delay with which the windows are traced, for --plot and --ndjson; the default is the longest
    #[arg(long, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=10_000))]
    window: Option<u32>,
    /// Write the transfers to FILE
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the transfers and the windows to FILE, one JSON object per line
    #[arg(long, value_name = "FILE")]
    ndjson: Option<PathBuf>,
    /// Draw PREFIX-bandwidth.svg and PREFIX-window.svg
    #[arg(long, value_name = "PREFIX")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == AS_TRANSFER) {
        return measure::transfer(&arguments[1..]);
    }
    command::main(|cli: Cli| run(&cli.checked()?))
}

impl Cli {
    /// Checks what concerns several options, and that the directories of the files exist.
    fn checked(mut self) -> Result<Cli, clap::Error> {
        let refuse = |message: String| Cli::command().error(ErrorKind::ValueValidation, message);
        self.delays.sort_unstable();
        self.delays.dedup();
        if self.buffer == 0 || self.bytes == 0 || !self.bytes.is_multiple_of(self.buffer.into()) {
            return Err(refuse(format!(
                "--bytes ({}) must be a multiple of --buffer ({}), and neither may be 0",
                self.bytes, self.buffer
            )));
        }
        for file in [&self.csv, &self.ndjson].into_iter().flatten() {
            if file.is_dir() {
                return Err(refuse(format!("{}: it is a directory", file.display())));
            }
        }
        for file in [&self.csv, &self.ndjson, &self.plot].into_iter().flatten() {
            let directory = file.parent().filter(|it| !it.as_os_str().is_empty());
            if directory.is_some_and(|it| !it.is_dir()) {
                return Err(refuse(format!("{}: its directory does not exist", file.display())));
            }
        }
        Ok(self)
    }

    fn job(&self, network: Kind, delay_ms: u32, buffers: Buffers) -> Job {
        let mut config = Config::new(IpcType::Tcp, Mode::TwoThreads);
        config.buffer_size = self.buffer;
        config.total_size = self.bytes;
        config.set_socket_buffers = buffers == Buffers::Fixed;
        Job { network, delay_ms, config: Some(config) }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let interrupt = Arc::new(Interrupt::default());
    let on_interrupt = Arc::clone(&interrupt);
    ctrlc::set_handler(move || on_interrupt.raise())?;

    let network = choose(cli.network, &interrupt)?;
    note(format_args!("Delay by {network}. {}", network.meaning()));
    let mut results = Results::new(network, cli.bytes, cli.buffer);
    let measured = measure(cli, &mut results, &interrupt);
    // What was measured before a failure remains; who interrupts does not want it.
    if measured.as_ref().is_err_and(|e| e.is::<Interrupted>()) || results.transfers.is_empty() {
        return measured;
    }
    if measured.is_ok() && (cli.plot.is_some() || cli.ndjson.is_some()) {
        trace(cli, &mut results, &interrupt)?;
    }
    let shown = results.write_table(io::stdout().lock());
    save(cli, &results)?;
    measured?;
    Ok(shown?)
}

/// Returns the network that was asked for, or the best one that can be made.
fn choose(wanted: Option<Kind>, interrupt: &Interrupt) -> Result<Kind, Box<dyn Error>> {
    let link = |network| Job { network, delay_ms: 1, config: None }.run(interrupt);
    if let Some(kind) = wanted {
        return link(kind).map(|_| kind);
    }
    for kind in [Kind::Netem, Kind::Tun] {
        match link(kind) {
            Ok(_) => return Ok(kind),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => note(format_args!("No {kind} here: {error}")),
        }
    }
    Ok(Kind::Proxy)
}

fn measure(cli: &Cli, results: &mut Results, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    let each = cli.delays.iter().flat_map(|delay| Buffers::ALL.map(|buffers| (*delay, buffers)));
    let mut progress = Progress::new(cli.delays.len() * Buffers::ALL.len() * cli.repeat as usize);
    // What changes on the machine meanwhile concerns all delays.
    for repetition in 1..=cli.repeat {
        for (delay_ms, buffers) in each.clone() {
            progress.next(format_args!("{delay_ms} ms, {} buffers", buffers.name()));
            let Some(sample) = cli.job(results.network, delay_ms, buffers).run(interrupt)? else {
                continue;
            };
            results.transfers.push(Transfer {
                measured: Measurement {
                    delay_ms,
                    buffers,
                    bandwidth: sample.received as f64 / sample.time,
                },
                repetition,
                seconds: sample.time,
                socket_buffers: sample.socket_buffers,
            });
        }
    }
    Ok(())
}

/// Traces the windows, in transfers that do not count. Where that is impossible, says what is missing.
fn trace(cli: &Cli, results: &mut Results, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    if let Err(unavailable) = preflight(None).require() {
        note(format_args!("The windows are missing.\n{unavailable}"));
        return Ok(());
    }
    let Some(delay_ms) = cli.window.or(cli.delays.last().copied()) else { return Ok(()) };
    let mut progress = Progress::new(Buffers::ALL.len());
    for buffers in Buffers::ALL {
        progress.next(format_args!("windows, {delay_ms} ms, {} buffers", buffers.name()));
        match cli.job(results.network, delay_ms, buffers).trace(interrupt) {
            Ok((windows, losses)) => {
                if !losses.is_empty() {
                    progress.note(format_args!("The trace has gaps: {losses}"));
                }
                results.traces.push(Trace { buffers, delay_ms, windows });
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            // What has been measured remains.
            Err(error) => progress.note(format_args!("Some windows are missing: {error}")),
        }
    }
    Ok(())
}

fn save(cli: &Cli, results: &Results) -> Result<(), Box<dyn Error>> {
    let at = |file: &Path, error: io::Error| format!("cannot write {}: {error}", file.display());
    if let Some(file) = &cli.csv {
        results.save_csv(file).map_err(|e| at(file, e))?;
    }
    if let Some(file) = &cli.ndjson {
        results.save_ndjson(file).map_err(|e| at(file, e))?;
    }
    if let Some(prefix) = &cli.plot {
        for (name, picture) in [("bandwidth", results.bandwidth()), ("window", results.windows())] {
            let mut file = prefix.clone().into_os_string();
            file.push(format!("-{name}.svg"));
            match picture {
                Ok(picture) => {
                    picture.save(Path::new(&file))?;
                    note(Path::new(&file).display());
                }
                Err(empty) => note(format_args!("{}: {empty}", Path::new(&file).display())),
            }
        }
    }
    Ok(())
}

/// Shows how far the measurement is: one line on a terminal, which is updated, otherwise a line for each step.
struct Progress {
    steps: usize,
    done: usize,
    is_terminal: bool,
}

impl Progress {
    fn new(steps: usize) -> Progress {
        Progress { steps, done: 0, is_terminal: io::stderr().is_terminal() }
    }

    fn next(&mut self, step: impl Display) {
        self.done += 1;
        let (done, steps) = (self.done, self.steps);
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r\x1b[K[{done}/{steps}] {step}")
        } else {
            writeln!(io::stderr(), "[{done}/{steps}] {step}")
        };
    }
}

impl Progress {
    /// Prints a message in place of the step.
    fn note(&self, text: impl Display) {
        self.clear();
        note(text);
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Prints a message besides the results. Ignores errors, because nobody may be reading it.
fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
