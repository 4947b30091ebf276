//! What a session was asked for and cannot do, although it runs.

use std::fmt;

use serde::Serialize;

/// Something that a session was asked for and cannot do, although it runs.
///
/// The session reports it when it finds out: through the `tracing` crate if the program has a subscriber,
/// otherwise on standard error. [`Outcome::warnings`](crate::Outcome::warnings) keeps all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// What kind of warning it is.
    pub kind: WarningKind,
    /// What it is about: a probe description, an aggregation, a handler.
    pub subject: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(
        kind: WarningKind,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Warning {
        Warning { kind, subject: subject.into(), message: message.into() }
    }
}

/// The kind of a [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum WarningKind {
    /// A clause was accepted, but cannot fire. The subject is its probe description, or `$target` if the
    /// session has no process.
    NeverFires,
    /// A handler names an aggregation that the script does not have.
    UnknownAggregation,
    /// The probe description of a handler matches no clause.
    UnmatchedProbe,
    /// A row did not fit the type of its handler, and was skipped.
    Misfit,
    /// [`read_option`](crate::Session::read_option) names an option that libdtrace does not have.
    UnknownOption,
    /// The script sees the worker as a separate process: `$pid` and other macro variables, or `pid`
    /// in the worker, do not have your program's values. The subject is the macro variable.
    Apart,
    /// The command has ended, and its exit status is unknown:
    /// [`Outcome::command`](crate::Outcome::command) is `None`. The subject is `command`.
    UnknownStatus,
    /// The script records names of kernel functions, and these are wrong, because the kernel hides its
    /// addresses. The subject is the setting to change.
    WrongNames,
    /// Tracing costs the traced program more than it has to. The subject is what costs it.
    Costly,
    /// A kind of warning that this version of the crate does not know. Only a recording can have one.
    Other,
}

impl WarningKind {
    const KNOWN: [WarningKind; 9] = [
        WarningKind::NeverFires,
        WarningKind::UnknownAggregation,
        WarningKind::UnmatchedProbe,
        WarningKind::Misfit,
        WarningKind::UnknownOption,
        WarningKind::Apart,
        WarningKind::UnknownStatus,
        WarningKind::WrongNames,
        WarningKind::Costly,
    ];

    /// Returns the kind with a number of the stream's format.
    pub(crate) fn from_number(n: u8) -> WarningKind {
        WarningKind::KNOWN.get(usize::from(n)).copied().unwrap_or(WarningKind::Other)
    }

    pub(crate) fn number(self) -> u8 {
        let position = WarningKind::KNOWN.iter().position(|kind| *kind == self);
        position.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}
