//! How fast does this machine move bytes between two ends of a TCP connection, a pipe or a pair
//! of local sockets?
//!
//! This is the program `ipc-benchmark` of the TCP lab, with the same command line: a load with known
//! system calls and TCP segments, to be traced. It is a library, so that an example can run it as the
//! traced command by starting its own executable again. That needs no second build step and no search
//! in `PATH`.
//!
//! This process makes both ends. TCP uses 127.0.0.1, unless `--listen` or `--connect` names another address.
//! As in the lab, data go through `read(2)` and `write(2)` for every type of IPC. Each TCP `write(2)` is sent at once (`TCP_NODELAY`), so buffers smaller than a
//! segment do not wait for an acknowledgement. The sending end opens the connection and closes it
//! first; the receiving end reads to the end of the stream before it closes. A tracer therefore sees
//! the handshake, the data and every state of an orderly close.

mod built_in;
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

pub use built_in::{as_benchmark, to_start};
use channel::Channels;
pub use config::{Config, IpcType, Mode};
pub use error::Error;
pub use report::{Report, ResourceUsage, Rusage, Sample, SocketBuffers};

/// The name of the program in messages and, on Linux, in `execname`.
pub const NAME: &str = "ipc-benchmark";

/// The exit status for an invalid command line: `EX_USAGE` of `sysexits(3)`.
pub const EX_USAGE: u8 = 64;

const USAGE: &str = "ipc-benchmark [-Bgjsv] [-b BUFFERSIZE] [-i tcp|pipe|local] [-n ITERATIONS]
                     [-p PORT] [-l ADDRESS] [-c ADDRESS:PORT] [-t TOTALSIZE] 1thread|2thread|2proc";

/// Runs the whole program: parses the command line, transfers data and prints the results.
///
/// `args` is the command line without the program's name. Mode `2proc` starts the current executable
/// again, with `reexec` before such a command line, and that process must call this function too. So
/// `reexec` is empty for a program that is only the benchmark, and `["ipc-benchmark"]` for one that
/// calls this function if that is its first argument.
///
/// The exit status is 0, [`EX_USAGE`] for an invalid command line, or 1 if a transfer failed.
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
            // If the reader of a pipe closes it, the benchmark has not failed.
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
/// Only [`Mode::TwoProcesses`] uses `reexec`; see [`main`].
///
/// # Errors
/// [`Error::Configuration`] if sizes or counts are invalid, [`Error::Io`] if a system call fails,
/// [`Error::Size`] if the number of bytes that arrived is wrong, [`Error::SendingProcess`] if the
/// sending process failed.
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

/// Measures inter-process communication.
#[derive(Parser)]
#[command(name = NAME, no_binary_name = true, override_usage = USAGE)]
struct Cli {
    #[command(flatten)]
    config: Config,
    /// Print the configuration and the results as one JSON object
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

/// Reports an invalid command line; also prints the text of `--help`.
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
    // If standard error cannot be written to, nobody is left to inform.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(EX_USAGE)
}

fn failure(error: &Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{NAME}: {error}");
    ExitCode::FAILURE
}

/// Makes `execname == "ipc-benchmark"` true, whatever the name of the executable. DTrace on Linux takes
/// `execname` from the thread's name, which later threads inherit. Other systems take it from the file,
/// where this has no effect. Errors are ignored, because the name is only a convenience.
fn take_name() {
    let _ = std::fs::write("/proc/thread-self/comm", NAME);
}
