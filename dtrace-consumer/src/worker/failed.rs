//! Why did a session not come to its end?

use std::io;

use super::libdtrace::CallFailure;
use super::system::Shortcoming;
use crate::stream::job::Process;
use crate::stream::payload::{FailureFrame, FailureKind};

/// Why a session did not come to its end, as the consumer is sent it.
pub(super) struct Failed(pub(super) FailureFrame);

impl Failed {
    /// A failed call into libdtrace.
    pub(super) fn of(kind: FailureKind, failure: CallFailure) -> Failed {
        Failed(FailureFrame {
            kind,
            attempt: failure.call.to_owned(),
            number: failure.number,
            message: failure.message,
            script: None,
        })
    }

    /// A process that libdtrace cannot control.
    pub(super) fn to_control(process: &Process, failure: CallFailure) -> Failed {
        let attempt = match process {
            Process::Create(words) => format!("start {}", words.join(" ")),
            Process::Grab(pid) => format!("grab process {pid}"),
        };
        Failed(FailureFrame { attempt, ..Failed::of(FailureKind::Process, failure).0 })
    }
}

impl From<CallFailure> for Failed {
    fn from(failure: CallFailure) -> Failed {
        Failed::of(FailureKind::Call, failure)
    }
}

/// A failure of something around libdtrace.
pub(super) fn surroundings_failed(attempt: &str, error: &io::Error) -> Failed {
    Failed(FailureFrame {
        kind: FailureKind::Surroundings,
        attempt: attempt.to_owned(),
        number: error.raw_os_error().unwrap_or(0),
        message: error.to_string(),
        script: None,
    })
}

/// A failure of libdtrace, with what could not be arranged for it, which is often the reason.
pub(super) fn with_shortcomings(failure: CallFailure, shortcomings: &[Shortcoming]) -> Failed {
    let mut failed = Failed::from(failure);
    for s in shortcomings {
        failed.0.message.push_str(&format!("; could not {}: {}", s.attempt, s.error));
    }
    failed
}
