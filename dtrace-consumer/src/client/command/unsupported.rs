//! Commands on systems without live sessions: they are not started.

use std::fs::File;
use std::io;
use std::process::{Child, Command, ExitStatus};

use super::place::Place;
use crate::client::child::Signals;
use crate::stream::job::Gate;

/// Does nothing.
pub(in crate::client) fn prepare(_: &mut Command) {}

/// Fails: live sessions are not implemented here.
pub(super) fn spawn_held(
    _: &mut Command,
    _: Place,
    _: impl FnOnce(&Signals),
) -> io::Result<(Child, Signals, Option<Gate>)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: live sessions are not implemented here.
pub(super) fn release(_: &Child, _: &Signals, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: live sessions are not implemented here.
pub(super) fn leave_stopped(_: &Child) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: live sessions are not implemented here.
pub(super) fn run_to_exit(_: &Child, _: &Signals, _: impl FnOnce()) -> io::Result<ExitStatus> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns how much a pipe holds, in bytes, if that is known.
pub(super) fn pipe_capacity(_: &File) -> Option<usize> {
    None
}
