//! The receiver of libdtrace's data.

use super::delivered::Misdelivered;
use crate::stream::frame::Frame;
use crate::stream::payload::{FailureFrame, FailureKind, FiringFrame};

/// Receives libdtrace's data.
pub(crate) trait Sink {
    /// Takes one frame. A failure is the last one.
    fn take(&mut self, frame: &Frame<'_>);

    /// Takes a firing, as [`take`](Sink::take) takes its frame.
    fn firing(&mut self, firing: &FiringFrame<'_>);
}

/// Returns the failure of a `call` that delivered invalid data.
pub(super) fn misdelivered(call: &str, what: &Misdelivered) -> Frame<'static> {
    failure(FailureKind::Call, call, what.to_string())
}

/// Returns the failure of a callback that panicked.
pub(super) fn panicked() -> Frame<'static> {
    let message = "the worker panicked (this is a bug in dtrace-consumer)".to_owned();
    failure(FailureKind::Surroundings, "decoding data from libdtrace", message)
}

fn failure(kind: FailureKind, attempt: &str, message: String) -> Frame<'static> {
    let attempt = attempt.to_owned();
    Frame::Failure(FailureFrame {
        kind,
        attempt,
        number: 0,
        message,
        script: None,
        needed: Vec::new(),
    })
}
