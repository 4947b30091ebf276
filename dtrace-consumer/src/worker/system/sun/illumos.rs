//! Owners, ends and threads of processes on illumos.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

use super::Peer;

/// Returns the process that opened the other end of a channel, according to the kernel.
pub(crate) fn peer_of(channel: &impl AsFd) -> io::Result<Peer> {
    let mut credentials = ptr::null_mut();
    // SAFETY: the call writes a pointer, which is null or stays valid until it is freed below.
    unsafe {
        if libc::getpeerucred(channel.as_fd().as_raw_fd(), &raw mut credentials) == -1 {
            return Err(io::Error::last_os_error());
        }
        let peer =
            Peer { pid: libc::ucred_getpid(credentials), uid: libc::ucred_geteuid(credentials) };
        libc::ucred_free(credentials);
        Ok(peer)
    }
}

/// Returns a descriptor of the process that hangs up when the process ends.
pub(crate) fn watch_process(pid: i32) -> io::Result<OwnedFd> {
    if pid <= 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(format!("/proc/{pid}/psinfo")).map(OwnedFd::from)
}

/// Returns `false`: nothing here says which users a process belongs to.
pub(crate) fn belongs_to(_: i32, _: u32) -> bool {
    false
}

/// Returns `false`: according to its sources, libdtrace has the kernel let processes run on when this one ends.
pub(crate) fn is_traced(_: i32) -> bool {
    false
}

/// Returns whether this thread is the process's only one, so that nobody else starts another.
pub(crate) fn has_one_thread() -> bool {
    fs::read_dir("/proc/self/lwp").is_ok_and(|threads| threads.count() == 1)
}
