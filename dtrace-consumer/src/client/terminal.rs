//! How is a program kept from asking for a password at a terminal?

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the command in a session of its own, so that neither it nor what it starts has a terminal
/// to ask for a password at.
pub(super) fn without_terminal(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls may be made:
    // setsid is one, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}
