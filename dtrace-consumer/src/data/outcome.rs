//! What is known of a session when it has ended?

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::loss::Losses;
use super::session_info::{OptionChange, ProcessEvent, ProgramInfo, SessionInfo};

/// How a session ended and what it says of itself.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// How the traced command ended; `None` without one.
    pub command: Option<CommandOutcome>,
    /// The status with which the script called `exit()`; `None` if it did not.
    pub exit: Option<i32>,
    /// Everything that was lost: drops by kind and CPU, run-time errors by probe.
    pub losses: Losses,
    /// Which library traced which kernel, and which D libraries had to be left out; `None` if the
    /// session ended before it got that far.
    pub session: Option<SessionInfo>,
    /// What libdtrace says of each script.
    pub programs: Vec<ProgramInfo>,
    /// The values of the options that [`read_option`](crate::Session::read_option) asked for, as they
    /// were when tracing began: those set by pragmas of the script included.
    #[serde(serialize_with = "options")]
    pub initial_options: Vec<(String, Option<u64>)>,
    /// Options that the script itself set.
    pub options: Vec<OptionChange>,
    /// What libdtrace told of processes.
    pub processes: Vec<ProcessEvent>,
    /// How many firings were delivered.
    pub firings: u64,
    /// How long it all took.
    pub timings: Timings,
}

impl Outcome {
    /// The value of an option when tracing began; `None` if it was not set, or not asked for by
    /// [`read_option`](crate::Session::read_option).
    #[must_use]
    pub fn initial_option(&self, name: &str) -> Option<u64> {
        self.initial_options.iter().find(|(n, _)| n == name).and_then(|(_, value)| *value)
    }
}

/// How a traced command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOutcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// From the moment when it was let run to its end.
    pub ran: Duration,
}

impl CommandOutcome {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.status.success()
    }

    /// Whether it refused its arguments: exit status 64, `EX_USAGE` of sysexits(3).
    #[must_use]
    pub fn refused_its_arguments(&self) -> bool {
        self.status.code() == Some(64)
    }
}

/// How long the steps of a session took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From the call to tracing being on, all of the following included.
    pub startup: Duration,
    /// How many workers were started: more than one where D libraries had to be left out first.
    pub attempts: u32,
    /// `dtrace_open`.
    pub open: Duration,
    /// Options, D libraries and scripts.
    pub compile: Duration,
    /// Enabling the probes.
    pub enable: Duration,
    /// `dtrace_go`.
    pub go: Duration,
    /// From the end of the command, or the call to stop, to everything being delivered.
    pub delivery: Duration,
}

/// How a command ended: its exit `code` or the `signal` that ended it, and `ran`, in nanoseconds.
impl Serialize for CommandOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut command = serializer.serialize_struct("CommandOutcome", 3)?;
        command.serialize_field("code", &self.status.code())?;
        command.serialize_field("signal", &self.status.signal())?;
        command.serialize_field("ran", &nanoseconds(self.ran))?;
        command.end()
    }
}

/// In nanoseconds.
impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut timings = serializer.serialize_struct("Timings", 7)?;
        timings.serialize_field("startup", &nanoseconds(self.startup))?;
        timings.serialize_field("attempts", &self.attempts)?;
        timings.serialize_field("open", &nanoseconds(self.open))?;
        timings.serialize_field("compile", &nanoseconds(self.compile))?;
        timings.serialize_field("enable", &nanoseconds(self.enable))?;
        timings.serialize_field("go", &nanoseconds(self.go))?;
        timings.serialize_field("delivery", &nanoseconds(self.delivery))?;
        timings.end()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Options as an object of their names.
fn options<S: Serializer>(
    options: &[(String, Option<u64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, value)))
}
