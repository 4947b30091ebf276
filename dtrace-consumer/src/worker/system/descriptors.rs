//! The descriptors of this process, on every system.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

/// Opens `/dev/null`.
pub(super) fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
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
