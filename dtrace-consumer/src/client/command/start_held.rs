//! Starts a command that is held.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::place::Place;
use super::system::{be_held, hold};
use crate::client::child::Signals;
use crate::client::start::start;
use crate::stream::job::Gate;

/// Makes a command stop at its exec when it is started, for [`spawn_held`]. Call it once.
pub(in crate::client) fn prepare(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed. All its
    // calls are bare system calls, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(move || {
            be_held(parent).map_err(|e: Errno| io::Error::from_raw_os_error(e as i32))
        });
    }
}

/// Starts a [prepared](prepare) command and [holds](hold) it. Calls `spawned` once the process exists.
pub(super) fn spawn_held(
    command: &mut Command,
    place: Place,
    spawned: impl FnOnce(&Signals),
) -> io::Result<(Child, Signals, Option<Gate>)> {
    let mut child = start(command)?;
    let signals = Signals::to(&mut child)?;
    spawned(&signals);
    // The process stops at its exec. Who forked it is its tracer: on Linux this thread, elsewhere this process.
    match hold(&child, place) {
        Ok(gate) => Ok((child, signals, gate)),
        Err(e) => {
            signals.kill_and_reap(child.id());
            Err(e)
        }
    }
}
