//! The descriptors that this process has inherited.

use std::os::fd::{AsRawFd, RawFd};

use crate::worker::system::descriptors::null;

/// The highest number of descriptors to look at. More than any system permits a process by default.
const MOST: i32 = 1 << 20;

/// Returns the numbers of all descriptors that are open, and maybe others.
fn may_be_open() -> Vec<RawFd> {
    // The limit may be a hundred thousand, and each call takes its time.
    #[cfg(target_os = "freebsd")]
    if let Ok(open) = crate::kinfo::descriptors(std::process::id().cast_signed()) {
        return open;
    }
    // SAFETY: the call has no preconditions.
    let limit = unsafe { libc::getdtablesize() }.min(MOST);
    (0..limit).collect()
}

/// Points all inherited descriptors except the standard three at `/dev/null`. Their numbers stay in use.
///
/// A descriptor without the flag close-on-exec may also be one that a library's initialiser has opened in this
/// process, and that its code still uses. If its number were free, that code would read and write whatever this
/// process opens next. A descriptor with the flag is not inherited.
pub(crate) fn close_inherited_descriptors() {
    let Ok(null) = null() else { return };
    for fd in may_be_open().into_iter().filter(|fd| *fd > libc::STDERR_FILENO) {
        // SAFETY: none of the calls touches memory. Replacing a file is as safe for users of the descriptor as a
        // file that fails; this function's own descriptor has the flag.
        unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags != -1
                && flags & libc::FD_CLOEXEC == 0
                && libc::dup2(null.as_raw_fd(), fd) != -1
            {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}
