//! Tells the user about losses and warnings, through the `tracing` crate or on standard error.

use std::io::{self, Write};

use tracing::dispatcher::get_default;
use tracing::subscriber::NoSubscriber;

use crate::data::printable::printable;

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
    let _ = writeln!(io::stderr().lock(), "dtrace-consumer: {}", printable_lines(message));
}

/// Escapes what would command a terminal, line by line. A message can come from a stranger's recording.
fn printable_lines(message: &str) -> String {
    let lines: Vec<String> = message.split('\n').map(printable).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(printable_lines("a\x1b[2Jb\r\n\tc\u{9b}"), "a\\u{1b}[2Jb\\r\n\tc\\u{9b}");
    }
}
