//! Failures of a session, as the worker reports them.

use std::io;

use super::libdtrace::CallFailure;
use super::system::Shortcoming;
use crate::stream::job::{Process, Target};
use crate::stream::payload::{FailureFrame, FailureKind};

/// Why a session failed, as sent to the consumer.
pub(super) struct Failed(pub(super) FailureFrame);

impl Failed {
    /// Creates the failure of a call into libdtrace.
    pub(super) fn of(kind: FailureKind, failure: CallFailure) -> Failed {
        Failed(FailureFrame {
            kind,
            attempt: failure.call.to_owned(),
            number: failure.number,
            message: failure.message,
            script: None,
        })
    }

    /// Creates the failure to start or grab a process.
    pub(super) fn to_control(process: &Process, failure: CallFailure) -> Failed {
        let attempt = match process {
            Process::Created(Target { pid, .. }) | Process::Grab(pid) => {
                format!("grab process {pid}")
            }
        };
        Failed(FailureFrame { attempt, ..Failed::of(FailureKind::Process, failure).0 })
    }
}

impl From<CallFailure> for Failed {
    fn from(failure: CallFailure) -> Failed {
        Failed::of(FailureKind::Call, failure)
    }
}

/// Creates the failure of a step outside libdtrace.
pub(super) fn surroundings_failed(attempt: &str, error: &io::Error) -> Failed {
    Failed(FailureFrame {
        kind: FailureKind::Surroundings,
        attempt: attempt.to_owned(),
        number: error.raw_os_error().unwrap_or(0),
        message: error.to_string(),
        script: None,
    })
}

/// Creates a failure of libdtrace, together with the failed preparations, which are often its cause.
pub(super) fn with_shortcomings(failure: CallFailure, shortcomings: &[Shortcoming]) -> Failed {
    let mut failed = Failed::from(failure);
    for s in shortcomings {
        failed.0.message.push_str(&format!("; cannot {}: {}", s.attempt, s.error));
    }
    failed
}
