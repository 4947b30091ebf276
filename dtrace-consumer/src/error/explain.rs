//! Converts a failure that a worker reported into an error.

use super::Error;
use super::compile::CompileError;
use crate::data::script::Script;
use crate::data::sentences;
use crate::stream::payload::{FailureFrame, FailureKind};

/// Converts a worker's failure into an error. `scripts` and `options` are those of the session, as far as
/// they are known: a recording does not contain them.
pub(crate) fn explain(
    failure: FailureFrame,
    scripts: &[Script],
    options: &[(String, Option<String>)],
) -> Error {
    let FailureFrame { kind, attempt, number, message, script } = failure;
    match kind {
        FailureKind::Compile => {
            let source = script.and_then(|n| scripts.get(n as usize));
            let (name, text) =
                source.map_or(("script", &[][..]), |s| (s.name.as_str(), s.text.as_slice()));
            let mut error = CompileError::parse(name, text, &message);
            error.index = script.map_or(0, |n| n as usize);
            Error::Compile(Box::new(error))
        }
        FailureKind::Option => {
            let value = options.iter().rfind(|(name, _)| *name == attempt);
            let value = value.and_then(|(_, value)| value.clone());
            Error::Option { name: attempt, value, reason: message }
        }
        FailureKind::Refused => Error::Refused { what: attempt, reason: message },
        FailureKind::Process => Error::Process { attempt, number, message },
        FailureKind::Load
        | FailureKind::Library
        | FailureKind::Call
        | FailureKind::Surroundings => match sentences::refused_probe(&attempt, &message) {
            Some(probe) => Error::Enable { probe: probe.to_owned(), number, message },
            None => {
                let advice = sentences::advice(&attempt, &message);
                Error::Libdtrace { call: attempt, number, message, advice }
            }
        },
    }
}
