//! What the user's process requires of a system without live sessions.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::error::Error;
use crate::error::unavailable::Check;

/// Returns why live tracing is impossible on this system.
pub(in crate::client) fn unsupported() -> Option<Check> {
    let detail = format!("live tracing on {} is not implemented yet", std::env::consts::OS);
    let remedy = "trace on Linux; recordings can be replayed here";
    Some(Check::unmet("system", detail, remedy))
}

/// Checks whether this process may trace.
pub(in crate::client) fn privilege() -> Check {
    Check::unmet("privilege", "unknown on this system", "trace on Linux")
}

/// Checks the requirements on the kernel.
pub(in crate::client) fn kernel() -> [Check; 0] {
    []
}

/// Checks which means of confining a worker the kernel has.
pub(in crate::client) fn confinement(_: bool) -> Check {
    Check::unmet("confinement", "unknown on this system", "trace on Linux")
}

/// Returns whether this process may run on the CPU with the given number.
pub(in crate::client) fn is_usable_cpu(_: u64) -> bool {
    true
}

/// Returns whether the kernel's function tracing has turned itself off.
pub(in crate::client) fn functions_are_off() -> bool {
    false
}

/// Returns the kernel's symbols; empty, because they are unknown on this system.
pub(in crate::client) fn kernel_symbols() -> String {
    String::new()
}

/// Returns which process traces another one, if that is known.
pub(in crate::client) fn tracer_of(_: u32) -> Option<u32> {
    None
}

/// Returns an unnamed file for a worker's standard error.
pub(in crate::client) fn scratch_file() -> Option<File> {
    None
}

/// Returns nothing: no worker starts here.
pub(in crate::client) fn circumstances(_: &[&Path]) -> Vec<(&'static str, Vec<u8>)> {
    Vec::new()
}

/// Returns this process's executable, if starting it again runs this crate's start-up hook.
pub(in crate::client) fn own_executable() -> Result<PathBuf, Error> {
    std::env::current_exe()
        .map_err(|cause| Error::System { attempt: "find this program's executable", cause })
}

/// Returns where this process finds its libraries, apart from the system's directories.
pub(in crate::client) fn library_directories() -> [PathBuf; 0] {
    []
}

/// A process. There is none: live sessions are not implemented here.
#[derive(Debug)]
pub(in crate::client) struct ProcessHandle(Infallible);

impl ProcessHandle {
    /// Fails: live sessions are not implemented here.
    pub(in crate::client) fn open(_: u32) -> io::Result<ProcessHandle> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fails: live sessions are not implemented here.
    pub(in crate::client) fn received(_: OwnedFd) -> io::Result<ProcessHandle> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Is never called.
    pub(in crate::client) fn reap(&self) {
        match self.0 {}
    }

    /// Is never called.
    pub(in crate::client) fn send(&self, _: Signal) -> io::Result<()> {
        match self.0 {}
    }
}

/// Returns whether the kernel discards the exit status of this process's children.
pub(in crate::client) fn loses_statuses() -> bool {
    false
}

/// Returns the error as it is: no session starts here.
pub(in crate::client) fn explained_by_limit(error: Error) -> Error {
    error
}

/// Returns no limit on the size of files: nothing is recorded here.
pub(in crate::client) fn largest_file() -> io::Result<Option<u64>> {
    Ok(None)
}
