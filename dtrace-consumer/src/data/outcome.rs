//! What is known about a session once it has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::loss::Losses;
use super::session_info::{OptionChange, ProcessEvent, ProgramInfo, SessionInfo};
use super::warning::Warning;

/// How a session ended, and what libdtrace reported about it.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// What ended the session.
    pub ended_by: EndedBy,
    /// How the traced command, or the first created process, ended. `None` without one, or if its
    /// status is unknown; a warning of the kind
    /// [`UnknownStatus`](crate::session::WarningKind::UnknownStatus) then gives the reason.
    pub command: Option<CommandOutcome>,
    /// What the command wrote; `None` unless
    /// [`capture_output`](crate::Session::capture_output) asked for it. A recording does not have it.
    pub output: Option<CommandOutput>,
    /// The status that the script passed to `exit()`; `None` if it did not call it.
    pub exit: Option<i32>,
    /// Everything that was lost: drops by kind and CPU, run-time errors by probe.
    pub losses: Losses,
    /// What the session was asked for but could not do, such as clauses that cannot fire.
    pub warnings: Vec<Warning>,
    /// Which library traced which kernel, and which D libraries were omitted; `None` if the session ended
    /// before that was known.
    pub session: Option<SessionInfo>,
    /// libdtrace's information about each script.
    pub programs: Vec<ProgramInfo>,
    /// The values of the options that [`read_option`](crate::Session::read_option) asked for, at the time
    /// when tracing began. They include values set by pragmas of the script.
    #[serde(serialize_with = "options")]
    pub initial_options: Vec<(String, Option<u64>)>,
    /// Options that the script itself set.
    pub options: Vec<OptionChange>,
    /// Events of traced processes that libdtrace reported.
    pub processes: Vec<ProcessEvent>,
    /// How many firings were delivered.
    pub firings: u64,
    /// How many rows were skipped because they did not fit the type of their closure; see
    /// [`misfits`](crate::Session::misfits).
    pub misfits: u64,
    /// How long the session's steps took.
    pub timings: Timings,
}

impl Outcome {
    /// Returns the value of an option at the time when tracing began; `None` if it was not set, or
    /// [`read_option`](crate::Session::read_option) did not ask for it.
    #[must_use]
    pub fn initial_option(&self, name: &str) -> Option<u64> {
        self.initial_options.iter().find(|(n, _)| n == name).and_then(|(_, value)| *value)
    }
}

/// What ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EndedBy {
    /// It failed, or it has not ended yet.
    #[default]
    Failure,
    /// The script called `exit()`, or the last grabbed process ended.
    Script,
    /// The traced command ended, or the last created process.
    Command,
    /// A [`StopHandle`](crate::StopHandle) or [`ConsumerThread::stop`](crate::ConsumerThread::stop).
    Stop,
    /// The [`deadline`](crate::Session::deadline). Everything recorded by then was delivered.
    Deadline,
    /// The recording was delivered to its end.
    Recording,
}

/// How a traced command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandOutcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// The time from its release to its end.
    pub ran: Duration,
}

impl CommandOutcome {
    /// Returns whether it ended with status 0.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.status.success()
    }

    /// Returns whether it refused its arguments: exit status 64, `EX_USAGE` of sysexits(3).
    #[must_use]
    pub fn refused_its_arguments(&self) -> bool {
        self.status.code() == Some(64)
    }
}

/// What a command wrote to its standard output and standard error. See
/// [`capture_output`](crate::Session::capture_output).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandOutput {
    /// The beginning of its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// How many bytes of its standard output exceeded the limit.
    pub stdout_omitted: u64,
    /// How many bytes of its standard error exceeded the limit.
    pub stderr_omitted: u64,
    /// Whether another process still had one of the streams open when reading ended. What it wrote
    /// later is missing.
    pub cut_off: bool,
}

/// A stream that a command writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Serializes the streams as text; bytes that are not UTF-8 are replaced.
impl Serialize for CommandOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut output = serializer.serialize_struct("CommandOutput", 5)?;
        output.serialize_field("stdout", &String::from_utf8_lossy(&self.stdout))?;
        output.serialize_field("stderr", &String::from_utf8_lossy(&self.stderr))?;
        output.serialize_field("stdout_omitted", &self.stdout_omitted)?;
        output.serialize_field("stderr_omitted", &self.stderr_omitted)?;
        output.serialize_field("cut_off", &self.cut_off)?;
        output.end()
    }
}

/// How long the steps of a session took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From the call to the start of tracing, including all of the following steps.
    pub startup: Duration,
    /// Number of workers launched: more than one if D libraries had to be omitted.
    pub attempts: u32,
    /// `dtrace_open`.
    pub open: Duration,
    /// Setting options, compiling D libraries and scripts.
    pub compile: Duration,
    /// Enabling the probes.
    pub enable: Duration,
    /// `dtrace_go`.
    pub go: Duration,
    /// From the end of the command, or the call to stop, until everything has been delivered.
    pub delivery: Duration,
}

/// Serializes as the exit `code` or the `signal` that ended the command, and `ran_ns`.
impl Serialize for CommandOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut command = serializer.serialize_struct("CommandOutcome", 3)?;
        command.serialize_field("code", &self.status.code())?;
        command.serialize_field("signal", &self.status.signal())?;
        command.serialize_field("ran_ns", &nanoseconds(self.ran))?;
        command.end()
    }
}

/// Serializes all times in nanoseconds, as the names say.
impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut timings = serializer.serialize_struct("Timings", 7)?;
        timings.serialize_field("startup_ns", &nanoseconds(self.startup))?;
        timings.serialize_field("attempts", &self.attempts)?;
        timings.serialize_field("open_ns", &nanoseconds(self.open))?;
        timings.serialize_field("compile_ns", &nanoseconds(self.compile))?;
        timings.serialize_field("enable_ns", &nanoseconds(self.enable))?;
        timings.serialize_field("go_ns", &nanoseconds(self.go))?;
        timings.serialize_field("delivery_ns", &nanoseconds(self.delivery))?;
        timings.end()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Serializes options as an object with their names as keys.
fn options<S: Serializer>(
    options: &[(String, Option<u64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, value)))
}
