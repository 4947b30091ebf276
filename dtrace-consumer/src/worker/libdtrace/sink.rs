//! Where does what libdtrace delivers go?

use super::delivered::Misdelivered;
use crate::stream::frame::Frame;
use crate::stream::payload::{FailureFrame, FailureKind};

/// Takes what libdtrace delivers.
pub(crate) trait Sink {
    /// Takes one piece. A failure is the last one.
    fn take(&mut self, frame: &Frame<'_>);
}

/// `call` has delivered invalid data.
pub(super) fn misdelivered(call: &str, what: &Misdelivered) -> Frame<'static> {
    failure(FailureKind::Call, call, what.to_string())
}

/// A callback has panicked.
pub(super) fn panicked() -> Frame<'static> {
    let message = "the worker panicked; this is a bug in dtrace-consumer".to_owned();
    failure(FailureKind::Surroundings, "decode what libdtrace delivered", message)
}

fn failure(kind: FailureKind, attempt: &str, message: String) -> Frame<'static> {
    let attempt = attempt.to_owned();
    Frame::Failure(FailureFrame { kind, attempt, number: 0, message, script: None })
}
