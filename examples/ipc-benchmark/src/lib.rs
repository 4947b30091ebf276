//! How fast does this machine move bytes between two ends of a TCP connection, a pipe or a pair
//! of local sockets?
//!
//! The program of the TCP lab, `ipc-benchmark`, with that tool's command line: a load whose
//! system calls and TCP segments are known beforehand, to be traced. It is a library and not only a
//! program so that an example can run it as the traced command by starting its own executable
//! again: no second build step, nothing to be found on `PATH`.
//!
//! Both ends are made in this process, on 127.0.0.1. Data goes through `read(2)` and `write(2)`
//! for every type of IPC, as in the lab; one TCP `write(2)` leaves as it is (`TCP_NODELAY`), so
//! that buffers smaller than a segment are not held back for an acknowledgement. The sending end
//! opens the connection and is the first to close it; the receiving end reads up to the end of the
//! stream before it closes, so a tracer sees handshake, data and every state of an orderly close.

mod channel;
mod config;
mod error;
mod process;
mod report;
mod transfer;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use channel::Channels;
pub use config::{Config, IpcType, Mode};
pub use error::Error;
pub use report::{Report, ResourceUsage, Rusage, Sample, SocketBuffers};

/// The name that the program goes by in messages and, on Linux, in `execname`.
pub const NAME: &str = "ipc-benchmark";

/// Exit status for a command line that is not understood: `EX_USAGE` of `sysexits(3)`.
pub const EX_USAGE: u8 = 64;

const USAGE: &str = "ipc-benchmark [-Bgjsv] [-b BUFFERSIZE] [-i tcp|pipe|local] [-n ITERATIONS]
                     [-p PORT] [-t TOTALSIZE] 1thread|2thread|2proc";

/// The whole program: parses, runs, prints.
///
/// `args` is the command line without the program's name. `reexec` is what has to stand between
/// the path of the current executable and such a command line to arrive here again: empty for a
/// program that is the benchmark and nothing else, `["ipc-benchmark"]` for one that calls this
/// function when that is its first argument. Mode `2proc` starts its sending process so.
///
/// Exit status: 0, [`EX_USAGE`] for a bad command line, 1 when a transfer failed.
pub fn main(args: impl IntoIterator<Item = OsString>, reexec: &[OsString]) -> ExitCode {
    take_name();
    let args: Vec<OsString> = args.into_iter().collect();
    if args.first().is_some_and(|arg| arg == process::SENDER_ARGUMENT) {
        return match process::send_for_parent(&args[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error),
        };
    }
    let cli = match Cli::parse_checked(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match run(&cli.config, reexec) {
        Ok(report) => match cli.print(&report) {
            // A reader that has seen enough is no failure of the benchmark.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                failure(&Error::io("write the result", error))
            }
            _ => ExitCode::SUCCESS,
        },
        Err(error) => failure(&error),
    }
}

/// Runs the benchmark that `config` describes, without printing anything.
///
/// For `reexec` see [`main`]; it matters for [`Mode::TwoProcesses`] only.
///
/// # Errors
/// [`Error::Configuration`] when sizes or counts do not fit together, [`Error::Io`] when the
/// system refuses something, [`Error::Size`] when other than the bytes asked for arrived,
/// [`Error::SendingProcess`] when the second process failed.
pub fn run(config: &Config, reexec: &[OsString]) -> Result<Report, Error> {
    config.check().map_err(Error::Configuration)?;
    let channels = Channels::new(config)?;
    let samples = (0..config.iterations)
        .map(|_| {
            let before = config.getrusage.then(|| ResourceUsage::now(config.mode)).transpose()?;
            let channel = channels.open()?;
            let (client_port, socket_buffers) = (channel.client_port, channel.socket_buffers);
            let transfer = match config.mode {
                Mode::OneThread => transfer::in_one_thread(config, channel)?,
                Mode::TwoThreads => transfer::in_two_threads(config, channel)?,
                Mode::TwoProcesses => process::in_two_processes(config, channel, reexec)?,
            };
            transfer.check(config)?;
            let rusage = match before {
                Some(before) => Some(ResourceUsage::now(config.mode)?.since(&before)),
                None => None,
            };
            Ok(Sample::new(&transfer, client_port, socket_buffers, rusage))
        })
        .collect::<Result<_, Error>>()?;
    Ok(Report { configuration: config.clone(), port: channels.port(), samples })
}

/// Benchmark of inter-process communication.
#[derive(Parser)]
#[command(name = NAME, no_binary_name = true, override_usage = USAGE)]
struct Cli {
    #[command(flatten)]
    config: Config,
    /// Print one JSON object: the configuration and the results
    #[arg(short = 'j', long)]
    json: bool,
    /// Print the configuration before the results
    #[arg(short = 'v', long)]
    verbose: bool,
}

impl Cli {
    fn parse_checked(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(args)?;
        cli.config
            .check()
            .map_err(|message| Self::command().error(ErrorKind::ValueValidation, message))?;
        Ok(cli)
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, report)?;
            writeln!(out)?;
        } else {
            if self.verbose {
                report.write_configuration(&mut out)?;
            }
            report.write_samples(&mut out)?;
        }
        out.flush()
    }
}

/// Tells the user what is wrong with the command line; `--help` comes this way too.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let mut text = error.to_string();
    if !text.contains("Usage:") {
        text.push_str(&format!("\n{}\n", Cli::command().render_usage()));
    }
    // Nobody is left to tell if standard error cannot be written to.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(EX_USAGE)
}

fn failure(error: &Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{NAME}: {error}");
    ExitCode::FAILURE
}

/// Makes `execname == "ipc-benchmark"` true however the executable is called: DTrace on Linux
/// takes `execname` from the name of the thread, which threads started later inherit. Other
/// systems take it from the file and have no such place; the name is a convenience, so that is
/// not an error.
fn take_name() {
    let _ = std::fs::write("/proc/thread-self/comm", NAME);
}
