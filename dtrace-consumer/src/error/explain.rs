//! Converts failures in a stream into errors, and errors into failures to record.

use super::compile::CompileError;
use super::{Error, untraced};
use crate::data::loss::Losses;
use crate::data::script::Script;
use crate::data::sentences;
use crate::data::session_info::{OmittedLibrary, ProgramInfo};
use crate::stream::contents::SessionFailure;
use crate::stream::payload::{FailureFrame, FailureKind};

/// What is known of a session that failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Session<'s> {
    pub(crate) scripts: &'s [Script],
    pub(crate) options: &'s [(String, Option<String>)],
    /// The D libraries that were left out.
    pub(crate) omitted: &'s [OmittedLibrary],
    /// The scripts that libdtrace has enabled.
    pub(crate) programs: &'s [ProgramInfo],
}

/// Converts a worker's failure into an error.
pub(crate) fn explain(failure: FailureFrame, session: Session<'_>) -> Error {
    let FailureFrame { kind, attempt, number, message, script, needed } = failure;
    match kind {
        FailureKind::Compile => {
            let source = script.and_then(|n| session.scripts.get(n as usize));
            let (name, text) =
                source.map_or(("script", &[][..]), |s| (s.name.as_str(), s.text.as_slice()));
            let mut error = CompileError::parse(name, text, &message);
            error.index = script.map_or(0, |n| n as usize);
            let omitted = session.omitted.iter().filter(|it| needed.contains(&it.file));
            error.omitted = omitted.cloned().collect();
            Error::Compile(Box::new(error))
        }
        FailureKind::Option => {
            let value = session.options.iter().rfind(|(name, _)| *name == attempt);
            let value = value.and_then(|(_, value)| value.clone());
            let reason = match untraced::refused_option(&attempt, &message) {
                Some(limit) => format!("{message} ({limit})"),
                None => message,
            };
            Error::Option { name: attempt, value, reason }
        }
        FailureKind::Refused => Error::Refused { what: attempt, reason: message },
        FailureKind::NotBegun => Error::NotBegun,
        FailureKind::NotVerified => Error::NotVerified { library: attempt, reason: message },
        FailureKind::Process => Error::Process { attempt, number, message, advice: None },
        FailureKind::Load
        | FailureKind::Library
        | FailureKind::Call
        | FailureKind::Surroundings => match sentences::refused_probe(&attempt, &message) {
            Some(probe) => {
                let advice = untraced::refused_probe(probe, &message, session.programs);
                Error::Enable { probe: probe.to_owned(), number, message, advice }
            }
            None => {
                let advice = untraced::failed_call(&attempt, &message, session.options);
                Error::Libdtrace { call: attempt, number, message, advice }
            }
        },
    }
}

/// Converts the failure in a recording into the error that its session returned. `losses` are those that the
/// recording contains.
pub(crate) fn explain_recorded(failure: SessionFailure, losses: &Losses) -> Error {
    match failure {
        SessionFailure::WorkerDied { status, last_words } => {
            Error::WorkerDied { status, last_words }
        }
        SessionFailure::WorkerSilent { last_words } => Error::WorkerSilent { last_words },
        SessionFailure::Lost => Error::Lost(losses.clone()),
        SessionFailure::Aborted => Error::Aborted,
        SessionFailure::Deadline { limit } => Error::Deadline { limit },
    }
}

/// Returns what to record about a session that failed with this error. Returns `None` if the stream itself
/// has the failure, or if the cause is a handler or this process, which a replay does not share.
pub(crate) fn recordable(error: &Error) -> Option<SessionFailure> {
    match error {
        Error::WorkerDied { status, last_words } => {
            let (status, last_words) = (status.clone(), last_words.clone());
            Some(SessionFailure::WorkerDied { status, last_words })
        }
        Error::WorkerSilent { last_words } => {
            Some(SessionFailure::WorkerSilent { last_words: last_words.clone() })
        }
        Error::Lost(_) => Some(SessionFailure::Lost),
        Error::Aborted => Some(SessionFailure::Aborted),
        Error::Deadline { limit } => Some(SessionFailure::Deadline { limit: *limit }),
        _ => None,
    }
}
