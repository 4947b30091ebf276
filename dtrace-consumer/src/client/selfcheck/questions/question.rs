//! What is a question, and how are its answers written down?
//!
//! Answers are lines, as [`answers`](super::super::answers) writes them. The order of lines does not matter: firings arrive
//! buffer by buffer.

/// What a self-check asks.
#[derive(Debug)]
pub(in super::super) struct Questions {
    /// The options of the tracing session.
    pub(in super::super) options: &'static [(&'static str, Option<&'static str>)],
    /// What precedes the clauses of its script.
    pub(in super::super) declarations: &'static str,
    /// The clauses, with the lines that each one causes.
    pub(in super::super) clauses: &'static [Question],
    /// Lines about the session as a whole.
    pub(in super::super) session: &'static [Question],
    /// Probes to list.
    pub(in super::super) probes: &'static [Question],
    /// Types to look up.
    pub(in super::super) types: &'static [Question],
    /// Kernel symbols to look up.
    pub(in super::super) symbols: &'static [Question],
    /// Scripts that do not compile.
    pub(in super::super) mistakes: &'static [Question],
}

/// One question.
#[derive(Debug)]
pub(in super::super) struct Question {
    /// What it is about, for a message.
    pub(in super::super) about: &'static str,
    /// A clause, pattern, name or script; empty for the session as a whole.
    pub(in super::super) ask: &'static str,
    /// The predicted lines.
    pub(in super::super) answers: &'static [&'static str],
    /// Lines that may all take the place of all predicted ones; empty if nothing may.
    pub(in super::super) or: &'static [&'static str],
}

impl Question {
    /// Has other lines take the place of the predicted ones.
    #[cfg(not(dtrace_abi = "linux"))]
    pub(super) const fn or(self, or: &'static [&'static str]) -> Question {
        Question { or, ..self }
    }
}

/// Makes a question of its parts.
pub(super) const fn question(
    about: &'static str,
    ask: &'static str,
    answers: &'static [&'static str],
) -> Question {
    Question { about, ask, answers, or: &[] }
}
