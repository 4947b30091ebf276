//! Errors and panics of handlers.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::data::debug::debug_as_text;
use crate::error::Error;
use crate::error::callback::CallbackResult;

/// Calls a handler. Converts its error or panic into the session's error.
pub(crate) fn call(closure: &'static str, f: impl FnOnce() -> CallbackResult) -> Result<(), Error> {
    // After a panic only `on_stop` is called, which its documentation says; nothing else sees a state that the
    // panic left inconsistent.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(match cause.downcast::<Explained>() {
            Ok(explained) => explained.0,
            Err(cause) => Error::Callback { closure, cause },
        }),
        Err(payload) => Err(Error::Panicked { closure, message: panic_message(&*payload) }),
    }
}

/// An error of the session, returned by a handler that knows it.
pub(crate) struct Explained(pub(crate) Error);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Explained {}

debug_as_text! { struct Explained (error) }

/// Returns the message of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
