//! Ends a process that libdtrace created, together with its session.
//!
//! libdtrace kills it on close, but a worker does not close its handle.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use super::processes::watch_process;

/// A process that is killed on drop, unless it has ended.
pub(crate) struct CreatedProcess(OwnedFd);

impl CreatedProcess {
    /// Creates the guard of a process. Nobody must have waited for `pid` yet.
    pub(crate) fn new(pid: i32) -> io::Result<CreatedProcess> {
        watch_process(pid).map(CreatedProcess)
    }
}

impl Drop for CreatedProcess {
    fn drop(&mut self) {
        let (fd, signal) = (self.0.as_raw_fd(), c_long::from(libc::SIGKILL));
        // SAFETY: the descriptor is open, and without signal details the call reads no memory. It fails only
        // if the process has ended.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd,
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
    }
}
