//! Sends signals to a process by a descriptor of it, which never comes to mean another process.
//!
//! Every kernel that libdtrace supports has such descriptors (Linux 5.3).

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// A process, whether it still runs or not.
#[derive(Debug)]
pub(in crate::client) struct ProcessHandle(OwnedFd);

impl ProcessHandle {
    /// Opens the process with this id. A child keeps its id until somebody waits for it.
    pub(in crate::client) fn open(id: u32) -> io::Result<ProcessHandle> {
        let pid = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(ProcessHandle(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends a signal. Fails if the process has been waited for, or may not be signalled.
    pub(in crate::client) fn send(&self, signal: Signal) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(signal as i32);
        Ok(pidfd_send_signal(&self.0, signal.ok_or(io::ErrorKind::InvalidInput)?)?)
    }
}
