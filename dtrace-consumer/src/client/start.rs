//! Starts a process, whatever else in this program waits for children.
//!
//! If an exec fails, the standard library waits for the child, and panics if something else has reaped it: the
//! kernel, where this program ignores SIGCHLD, or another thread that waits for all children.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, Command};

use super::command::problem::expected;
use super::statuses::loses_statuses;

/// Starts a command. If that fails, the error is that of the exec, as far as it is known.
pub(in crate::client) fn start(command: &mut Command) -> io::Result<Child> {
    // The first is sure to panic. The second may, and that would end this program.
    if (loses_statuses() || cfg!(panic = "abort"))
        && let Some(error) = expected(command)
    {
        return Err(error);
    }
    let started = panic::catch_unwind(AssertUnwindSafe(|| command.spawn()));
    started.unwrap_or_else(|_| {
        let reason = "the reason is unknown, because another thread has waited for the child";
        Err(expected(command).unwrap_or_else(|| io::Error::other(reason)))
    })
}
