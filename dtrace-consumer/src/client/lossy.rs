//! Reads files of /proc, which may hold anybody's bytes.

use std::io;
use std::path::Path;

/// Returns the text of a file, whatever bytes it has. The system cuts the name of a process after 15 bytes, which
/// may be within a character, and file names have any bytes.
pub(super) fn read_lossy(file: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned())
}
