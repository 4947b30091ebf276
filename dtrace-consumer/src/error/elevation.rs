//! Why did an elevated worker not start?

use std::fmt;

/// Why an elevated worker did not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElevationProblem {
    /// The program that gives privilege is not there.
    NotInstalled,
    /// There is no `dtrace-worker` for it to start.
    NoWorker,
    /// It wants a password, which nobody was asked for.
    PasswordNeeded,
    /// It does not permit this user to start the worker.
    NotPermitted,
    /// The worker is of another version than this program's crate.
    Version,
    /// It, or the worker, ended for another reason, which it says itself.
    Failed,
    /// Nothing was heard of the worker for two minutes.
    Silent,
}

impl fmt::Display for ElevationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElevationProblem::NotInstalled => "is not installed",
            ElevationProblem::NoWorker => "has no dtrace-worker to start",
            ElevationProblem::PasswordNeeded => "needs a password, and is not given one",
            ElevationProblem::NotPermitted => "does not permit this user to start the worker",
            ElevationProblem::Version => "started a worker of another version",
            ElevationProblem::Failed => "did not start the worker",
            ElevationProblem::Silent => "has not started the worker in two minutes",
        })
    }
}
