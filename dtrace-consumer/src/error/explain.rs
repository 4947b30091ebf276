//! Converts failures in a stream into errors, and errors into failures to record.

use super::Error;
use super::compile::CompileError;
use crate::data::loss::Losses;
use crate::data::script::Script;
use crate::data::sentences;
use crate::data::session_info::OmittedLibrary;
use crate::stream::contents::SessionFailure;
use crate::stream::payload::{FailureFrame, FailureKind};

/// Converts a worker's failure into an error. `scripts`, `options` and `omitted` D libraries are those of the
/// session.
pub(crate) fn explain(
    failure: FailureFrame,
    scripts: &[Script],
    options: &[(String, Option<String>)],
    omitted: &[OmittedLibrary],
) -> Error {
    let FailureFrame { kind, attempt, number, message, script } = failure;
    match kind {
        FailureKind::Compile => {
            let source = script.and_then(|n| scripts.get(n as usize));
            let (name, text) =
                source.map_or(("script", &[][..]), |s| (s.name.as_str(), s.text.as_slice()));
            let mut error = CompileError::parse(name, text, &message);
            error.index = script.map_or(0, |n| n as usize);
            if sentences::may_need_a_library(&error.message) {
                error.omitted = omitted.to_vec();
            }
            Error::Compile(Box::new(error))
        }
        FailureKind::Option => {
            let value = options.iter().rfind(|(name, _)| *name == attempt);
            let value = value.and_then(|(_, value)| value.clone());
            Error::Option { name: attempt, value, reason: message }
        }
        FailureKind::Refused => Error::Refused { what: attempt, reason: message },
        FailureKind::NotBegun => Error::NotBegun,
        FailureKind::Process => Error::Process { attempt, number, message, advice: None },
        FailureKind::Load
        | FailureKind::Library
        | FailureKind::Call
        | FailureKind::Surroundings => match sentences::refused_probe(&attempt, &message) {
            Some(probe) => {
                let advice = advice_for(probe, &message, scripts);
                Error::Enable { probe: probe.to_owned(), number, message, advice }
            }
            None => {
                let advice = sentences::advice(&attempt, &message);
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

/// Returns what to do about a probe that the kernel refused.
fn advice_for(probe: &str, message: &str, scripts: &[Script]) -> Option<&'static str> {
    if message.contains("Too many open files") {
        return Some(sentences::FEW_DESCRIPTORS);
    }
    // libdtrace enables `BEGIN`, `END` and `ERROR` whether or not a script has them.
    if probe.starts_with("dtrace:") {
        return None;
    }
    let mut parts = probe.rsplit(':');
    let (name, function) = (parts.next()?, parts.next().unwrap_or_default());
    let word = if function.is_empty() { name } else { function };
    let named = scripts.iter().any(|it| String::from_utf8_lossy(&it.text).contains(word));
    // A script that names the probe has no pattern from which to exclude it.
    (!named && !scripts.is_empty()).then_some("exclude it from the script's patterns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabling(script: &str, reason: &str) -> String {
        let failure = FailureFrame {
            kind: FailureKind::Call,
            attempt: "dtrace_go".to_owned(),
            number: 0,
            message: format!("Failed to enable fbt:vmlinux:tcp_shifted_skb:entry: {reason}"),
            script: None,
        };
        explain(failure, &[Script::new(script)], &[], &[]).to_string()
    }

    #[test]
    fn a_refused_probe_is_to_be_excluded_only_from_a_pattern() {
        let refused = "Operation not supported";
        assert!(
            enabling("fbt::tcp_*:entry {}", refused)
                .ends_with("(exclude it from the script's patterns)")
        );
        assert!(enabling("fbt::tcp_shifted_skb:entry {}", refused).ends_with(refused));
        let text = enabling("fbt::tcp_*:entry {}", "Too many open files");
        assert!(text.contains("ulimit -Hn") && !text.contains("exclude"), "{text}");
    }
}
