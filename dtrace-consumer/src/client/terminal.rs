//! Keeps a program from asking for a password at a terminal.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the command in a new session, so that neither it nor its children have a terminal to ask for a
/// password.
pub(super) fn without_terminal(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed. setsid
    // is one, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}
