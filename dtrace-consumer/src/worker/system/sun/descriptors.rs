//! The descriptors of this process, and how it was started.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

/// The highest number of descriptors to look at. More than any system permits a process by default.
const MOST: i32 = 1 << 20;

/// Opens `/dev/null`.
fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

/// Points all inherited descriptors except the standard three at `/dev/null`. Their numbers stay in use.
///
/// A descriptor without the flag close-on-exec may also be one that a library's initialiser has opened in this
/// process, and that its code still uses. If its number were free, that code would read and write whatever this
/// process opens next. A descriptor with the flag is not inherited.
pub(crate) fn close_inherited_descriptors() {
    let Ok(null) = null() else { return };
    // SAFETY: the call has no preconditions.
    let last = unsafe { libc::getdtablesize() }.min(MOST);
    for fd in libc::STDERR_FILENO + 1..last {
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

/// Returns the inode of the standard input, if that is a socket.
pub(crate) fn inode_of_input() -> Option<u64> {
    let input = nix::sys::stat::fstat(io::stdin()).ok()?;
    let is_socket = input.st_mode & libc::S_IFMT == libc::S_IFSOCK;
    is_socket.then_some(input.st_ino)
}

/// Opens `/dev/null` as each of standard input, output and error that is closed. Otherwise a file of this
/// process would get its number, and what is printed would go there.
pub(crate) fn open_standard_descriptors() {
    loop {
        // A new descriptor gets the lowest free number.
        match null() {
            Ok(file) if file.as_raw_fd() <= libc::STDERR_FILENO => drop(file.into_raw_fd()),
            _ => return,
        }
    }
}

/// Duplicates a descriptor of this process.
pub(crate) fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only duplicated, which fails cleanly if it is not open.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Returns whether this process has more privileges than whoever started it (set-uid and the like). Its
/// environment must then not decide what it does.
pub(crate) fn privileges_were_raised() -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { libc::issetugid() != 0 }
}
