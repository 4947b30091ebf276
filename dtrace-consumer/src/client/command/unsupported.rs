//! Commands on systems where this crate cannot hold them yet: they are not started.

use std::fs::File;
use std::io;
use std::process::{Child, ExitStatus};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::place::Place;
use crate::client::child::Signals;
use crate::stream::job::Gate;

/// Fails: nothing holds the command until tracing is on.
pub(super) fn be_held(_: Pid) -> nix::Result<()> {
    Err(Errno::ENOTSUP)
}

/// Fails: no command starts, because [`be_held`] fails before.
pub(super) fn hold(_: &Child, _: Place) -> io::Result<Option<Gate>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: no command starts, because [`be_held`] fails before.
pub(super) fn release(_: &Child, _: &Signals, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: no command starts, because [`be_held`] fails before.
pub(super) fn leave_stopped(_: &Child) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: no command starts, because [`be_held`] fails before.
pub(super) fn run_to_exit(_: &Child, _: &Signals, _: impl FnOnce()) -> io::Result<ExitStatus> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns how much a pipe holds, in bytes, if that is known.
pub(super) fn pipe_capacity(_: &File) -> Option<usize> {
    None
}
