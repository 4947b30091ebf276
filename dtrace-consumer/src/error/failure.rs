//! What remains of a session that failed.

use std::error::Error as StdError;
use std::fmt;

use super::Error;
use crate::data::debug::debug_as_text;
use crate::data::outcome::Outcome;

/// A session that failed, with everything that it delivered before.
pub struct Failure {
    /// Why it failed.
    pub error: Error,
    /// What is known about the session up to the failure.
    pub outcome: Box<Outcome>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

debug_as_text! { struct Failure { error, outcome } }

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, outcome: Box::default() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        failure.error
    }
}
