//! What the user's process requires of FreeBSD, macOS and illumos.

mod checks;
#[expect(unsafe_code, reason = "a call of the dynamic loader")]
mod home;
#[cfg(target_os = "freebsd")]
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod numbers;
#[cfg_attr(target_os = "freebsd", path = "freebsd.rs")]
#[cfg_attr(target_os = "illumos", path = "illumos.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
mod own;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::foreign_home;
use crate::error::Error;
use crate::start_up::obstacle;

pub(in crate::client) use checks::{confinement, kernel, privilege};
pub(in crate::client) use own::{name_of, tracer_of};

/// Whether a worker can be a copy of another one. No: a copy of libdtrace's device would share its state.
pub(in crate::client) const WORKERS_ARE_COPIED: bool = false;

/// Returns whether this process may run on the CPU with the given number.
pub(in crate::client) fn is_usable_cpu(_: u64) -> bool {
    true
}

/// Returns `false`: the kernel's function tracing does not turn itself off.
pub(in crate::client) fn functions_are_off() -> bool {
    false
}

/// Returns the kernel's symbols; empty, because only libdtrace knows them.
pub(in crate::client) fn kernel_symbols() -> String {
    String::new()
}

/// Returns whether a process is the one that traces what this process traces.
pub(in crate::client) fn traces_for_this_process(tracer: u32) -> bool {
    tracer == std::process::id()
}

/// Returns whether a process exists. /proc need not be mounted.
#[allow(clippy::disallowed_methods, reason = "nothing is sent")]
pub(in crate::client) fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(Pid::from_raw);
    pid.is_ok_and(|pid| kill(pid, None) != Err(Errno::ESRCH))
}

/// Returns nothing: no worker is a copy of another one.
pub(in crate::client) fn circumstances(_: &[&Path]) -> Vec<(&'static str, Vec<u8>)> {
    Vec::new()
}

/// Returns this process's executable, if starting it again runs this crate's start-up hook.
pub(in crate::client) fn own_executable() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()
        .map_err(|cause| Error::System { attempt: "find this program's executable", cause })?;
    if let Some(reason) = obstacle() {
        return Err(Error::WorkerStart { program, reason });
    }
    match home::foreign(&program) {
        Some(library) => Err(Error::WorkerStart { program, reason: foreign_home(&library) }),
        None => Ok(program),
    }
}

/// Returns where this process finds its libraries, apart from the system's directories. Only a private libdtrace
/// needs them, and there is none for this system.
pub(in crate::client) fn library_directories() -> [PathBuf; 0] {
    []
}

/// A child of this process.
///
/// Its number is another process's once the child has been waited for. Only [`Signals`](crate::client::child::Signals)
/// waits for it, unless another thread of the program waits for all children.
#[derive(Debug)]
pub(in crate::client) struct ProcessHandle(Pid);

impl ProcessHandle {
    /// Takes the number of a child that nobody has waited for.
    pub(in crate::client) fn open(id: u32) -> io::Result<ProcessHandle> {
        let id = i32::try_from(id).ok().filter(|id| *id > 0).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(ProcessHandle(Pid::from_raw(id)))
    }

    /// Fails: no process here is known by a descriptor.
    pub(in crate::client) fn received(_: OwnedFd) -> io::Result<ProcessHandle> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Is never called: no process here was received.
    pub(in crate::client) fn reap(&self) {}

    /// Returns `None`: these systems do not keep how a process ended that something else has waited for.
    pub(in crate::client) fn kept_status(&self) -> Option<ExitStatus> {
        None
    }

    /// Sends a signal.
    #[allow(clippy::disallowed_methods, reason = "no process here is known by a descriptor")]
    pub(in crate::client) fn send(&self, signal: Signal) -> io::Result<()> {
        kill(self.0, signal)?;
        if signal == Signal::SIGKILL {
            own::kill_held(self.0);
        }
        Ok(())
    }
}

/// Returns the error as it is: what limits of this system explain was not looked into.
pub(in crate::client) fn explained_by_limit(error: Error) -> Error {
    error
}

/// Returns the limit on the size of files, in bytes, if there is one.
pub(in crate::client) fn largest_file() -> io::Result<Option<u64>> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    // The type has a sign on FreeBSD. No limit is negative.
    Ok((limit != RLIM_INFINITY).then(|| u64::from_ne_bytes(limit.to_ne_bytes())))
}
