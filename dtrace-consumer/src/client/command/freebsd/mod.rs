//! Holds commands on FreeBSD, with ptrace(2).
//!
//! The child asks to be traced, so its exec stops it: the new program is mapped, and none of its instructions has
//! run. It stays in that stop until its release.
//!
//! Probes on the command's own functions need more: libdtrace attaches to the process as a debugger, and a process can
//! have only one. The loader must have finished, or libdtrace finds no functions. So such a command runs up to its
//! entry point, and is left there, stopped as if by a signal. libdtrace attaches to it there, and continues it.

#[expect(unsafe_code, reason = "requests of ptrace without safe wrappers")]
mod entry;
#[expect(unsafe_code, reason = "requests of ptrace without safe wrappers")]
mod hold;
#[expect(unsafe_code, reason = "a request of ptrace without a safe wrapper")]
mod trap;

use std::fs::File;
use std::io;
use std::process::{Child, ExitStatus};

use crate::client::child::Signals;

pub(super) use hold::{be_held, hold, leave_stopped, release};

/// Continues a held child of this process and waits for its end. Then calls `at_exit`, before the child is reaped.
///
/// Its memory no longer exists then. libdtrace has read its map before, if it is attached to it.
pub(super) fn run_to_exit(
    child: &Child,
    signals: &Signals,
    at_exit: impl FnOnce(),
) -> io::Result<ExitStatus> {
    release(child, signals, false).inspect_err(|_| signals.kill_and_reap(child.id()))?;
    signals.wait_for(child.id(), at_exit)
}

/// Returns how much a pipe holds, in bytes, if that is known. FreeBSD does not tell.
pub(super) fn pipe_capacity(_: &File) -> Option<usize> {
    None
}
