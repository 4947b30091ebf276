//! Why did an elevated worker not start?

use std::fmt;

use crate::data::debug::debug_as_text;

/// Why an elevated worker did not start.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElevationProblem {
    /// The program that grants privilege is not installed.
    NotInstalled,
    /// No `dtrace-worker` is installed that it could start.
    NoWorker,
    /// It requires a password, but nobody was asked for one.
    PasswordNeeded,
    /// It does not permit this user to start the worker.
    NotPermitted,
    /// The worker's version differs from that of this program's crate.
    Version,
    /// It, or the worker, failed for another reason, which its output tells.
    Failed,
    /// It started something that does not greet as `dtrace-worker` does, such as another program.
    NotAWorker,
    /// The worker did not greet within [`silence_limit`](crate::Session::silence_limit), or within
    /// two minutes if that is not set.
    Silent,
}

impl fmt::Display for ElevationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElevationProblem::NotInstalled => "is not installed",
            ElevationProblem::NoWorker => "found no dtrace-worker to start",
            ElevationProblem::PasswordNeeded => "requires a password, but none was given",
            ElevationProblem::NotPermitted => "does not permit this user to start the worker",
            ElevationProblem::Version => "started a worker of a different version",
            ElevationProblem::Failed => "did not start the worker",
            ElevationProblem::NotAWorker => "started something that is not a dtrace-worker",
            ElevationProblem::Silent => "did not start the worker in time",
        })
    }
}

debug_as_text! {
    enum ElevationProblem {
        NotInstalled, NoWorker, PasswordNeeded, NotPermitted, Version, Failed, NotAWorker, Silent,
    }
}
