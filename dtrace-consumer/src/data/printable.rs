//! How is a text from elsewhere shown on a terminal?

/// Escapes the control characters of a line, other than tabs. A recording may come from anybody, and must not command
/// the terminal on which its texts are shown.
///
/// ```
/// assert_eq!(dtrace_consumer::recording::printable("a\x1b[2J\tb"), "a\\u{1b}[2J\tb");
/// ```
#[must_use]
pub fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() && c != '\t' {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\x1b[2J\tb\r\n\u{9b}\x7f"), "a\\u{1b}[2J\tb\\r\\n\\u{9b}\\u{7f}");
        assert_eq!(printable("päth"), "päth");
    }
}
