//! Tells the user what nobody asked about.

use std::io::{self, Write};

use tracing::dispatcher::get_default;
use tracing::subscriber::NoSubscriber;

/// Returns whether the program listens to the `tracing` crate.
pub(crate) fn is_heard() -> bool {
    get_default(|dispatch| !dispatch.is::<NoSubscriber>())
}

/// Warns through the `tracing` crate if the program has a subscriber, otherwise on standard error.
pub(crate) fn warn(message: &str) {
    if is_heard() {
        tracing::warn!("{message}");
    } else {
        say(message);
    }
}

/// Writes a warning to standard error.
pub(crate) fn say(message: &str) {
    // A program whose standard error is closed cannot be told.
    let _ = writeln!(io::stderr().lock(), "dtrace-consumer: {message}");
}
