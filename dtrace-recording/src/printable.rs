//! How is text from a recording shown on a terminal? A recording may come from anybody.

use std::io::{self, Write};

/// Escapes control characters.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Writes a message to standard error, with the name of who says it before each line.
pub(crate) fn complain(who: &str, message: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    message.lines().try_for_each(|line| writeln!(stderr, "{who}: {}", printable(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\x1b[2J\tb\r\u{9b}"), "a\\u{1b}[2J\tb\\r\\u{9b}");
        assert_eq!(printable("päth"), "päth");
    }
}
