//! How does the program report errors? Their texts may be those of a recording, which may come from anybody.

use std::io::{self, Write};

use dtrace_consumer::recording::printable;

/// Writes a message to standard error, with the name of who says it before each line.
pub(crate) fn complain(who: &str, message: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    message.lines().try_for_each(|line| writeln!(stderr, "{who}: {}", printable(line)))
}
