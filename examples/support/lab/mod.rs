//! The TCP lab: which D script traces the segments of a command here, and what it says of each.

mod segment;

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dtrace_consumer::TypeError;
use dtrace_consumer::aggregation::Aggregated;

use crate::ipc_benchmark;
pub use segment::{Direction, Flags, Segment, write_table};

/// The first argument with which the executable of an example becomes the IPC benchmark.
pub const AS_BENCHMARK: &str = "as-ipc-benchmark";

/// What the lab runs unless told otherwise: a few writes over one TCP connection.
pub const COMMAND: &str = "ipc-benchmark -j -v -i tcp -b 64 -t 256 2thread";

/// A recording of the lab, made by `cargo run --example tcp_segments -- --record FILE`.
pub const RECORDING: &[u8] = include_bytes!("../../recordings/tcp_segments.dtrace");

/// A D script of the lab. All of them print a [`Segment`] in each row and count system calls by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Script {
    /// The function tcp_do_segment, of FreeBSD
    Fbt,
    /// The tcp provider of Linux, where functions of the kernel can be traced
    Tcp,
    /// The trace points of Linux, which are always there
    Rawtp,
}

impl Script {
    /// The best script for this machine, and why it is.
    #[must_use]
    pub fn choose() -> (Script, &'static str) {
        if cfg!(target_os = "freebsd") {
            (Script::Fbt, "FreeBSD handles received segments in one function")
        } else if Path::new("/sys/bus/event_source/devices/kprobe").exists() {
            // libdtrace makes the tcp provider's probes from kprobes.
            (Script::Tcp, "functions of this kernel can be traced, as the tcp provider needs")
        } else {
            (Script::Rawtp, "functions of this kernel cannot be traced, its trace points can")
        }
    }

    /// The D program.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Script::Fbt => include_str!("fbt.d"),
            Script::Tcp => include_str!("tcp.d"),
            Script::Rawtp => include_str!("rawtp.d"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Script::Fbt => "fbt",
            Script::Tcp => "tcp",
            Script::Rawtp => "rawtp",
        })
    }
}

/// A system call as a script counts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemCall {
    /// By name.
    Name(String),
    /// By number, whose meaning depends on the machine.
    Number(u32),
}

impl SystemCall {
    /// The one that is the key of an aggregation's entry.
    ///
    /// # Errors
    /// The aggregation has no such key.
    pub fn counted_in(entry: &Aggregated<'_>) -> Result<SystemCall, TypeError> {
        entry.key(0).map(SystemCall::Number).or_else(|_| entry.key(0).map(SystemCall::Name))
    }

    /// Its name on Linux on a `machine` as `uname -m` calls it.
    #[must_use]
    pub fn name(&self, machine: &str) -> Cow<'_, str> {
        let number = match self {
            SystemCall::Name(name) => return name.into(),
            SystemCall::Number(number) => *number,
        };
        let name = match machine {
            "x86_64" => syscalls::x86_64::Sysno::new(number as usize).map(|call| call.name()),
            "aarch64" => syscalls::aarch64::Sysno::new(number as usize).map(|call| call.name()),
            _ => None,
        };
        name.map_or_else(|| format!("number {number}").into(), Cow::from)
    }
}

/// The words with which `command` is started: `ipc-benchmark` is this executable once more, so that
/// there is nothing else to build.
///
/// # Errors
/// The system cannot tell the path of this executable.
pub fn to_start(command: &[OsString]) -> io::Result<Vec<OsString>> {
    match command.split_first() {
        Some((program, arguments)) if program == ipc_benchmark::NAME => {
            let this = std::env::current_exe()?.into_os_string();
            Ok([this, AS_BENCHMARK.into()].into_iter().chain(arguments.iter().cloned()).collect())
        }
        _ => Ok(command.to_vec()),
    }
}

/// The command line of an example; otherwise, once the user has been told, the exit status.
///
/// # Errors
/// [`EX_USAGE`](ipc_benchmark::EX_USAGE) for one that is not understood, 0 when help was asked for.
pub fn command_line<Cli: Parser>() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { ipc_benchmark::EX_USAGE.into() } else { ExitCode::SUCCESS }
    })
}

/// Whether the reader of a pipe has seen enough: no failure, but a reason to end.
#[must_use]
pub fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::BrokenPipe,
        None => error.source().is_some_and(is_broken_pipe),
    }
}
