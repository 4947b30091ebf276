//! Failures of a session, as the worker reports them.

use std::io;

use super::libdtrace::CallFailure;
use super::system::Shortcoming;
use crate::data::sentences;
use crate::stream::job::{Job, Process, Target};
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
            needed: Vec::new(),
        })
    }

    /// Creates the failure to compile a script, or a D library before it. `missed` are the libraries left out that
    /// define what each script uses.
    pub(super) fn to_compile(
        job: &Job,
        index: usize,
        missed: &[Vec<String>],
        failure: CallFailure,
    ) -> Failed {
        let Failed(mut frame) = Failed::of(FailureKind::Compile, failure);
        frame.script = u32::try_from(index).ok();
        if let Some(library) = sentences::named_library(&frame.message) {
            frame.kind = FailureKind::Library;
            frame.attempt = library.to_owned();
        } else if sentences::needs_a_translator(&frame.message) {
            // Any library may have it.
            frame.needed = job.omit.iter().map(|it| it.file.clone()).collect();
        } else {
            frame.needed = missed.get(index).cloned().unwrap_or_default();
        }
        Failed(frame)
    }

    /// Creates the failure of a session in which libdtrace would write a document: it is torn between records, and
    /// handlers would get parts of it as text.
    pub(super) fn of_document() -> Failed {
        let why = "it makes libdtrace write a document in place of text (see `ndjson` for records as JSON)";
        let (number, message) = (0, why.to_owned());
        let failure = CallFailure { call: "oformat", number, message };
        Failed::of(FailureKind::Option, failure)
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
        needed: Vec::new(),
    })
}

/// Creates a failure of libdtrace, together with the failed preparations, which are often its cause.
pub(super) fn with_shortcomings(failure: CallFailure, shortcomings: &[Shortcoming]) -> Failed {
    let mut failed = Failed::from(failure);
    for s in shortcomings {
        failed.0.message.push_str(&format!("; cannot {}: {}", s.attempt, s.reason));
    }
    failed
}
