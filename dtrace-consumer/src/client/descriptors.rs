//! Which numbers may this crate's descriptors have?

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Moves a new descriptor away from the numbers of standard input, output and error. They are free
/// in a process that was started without these streams, and what the program prints would go to the
/// descriptor.
pub(super) fn above_standard<T: From<OwnedFd> + Into<OwnedFd>>(descriptor: T) -> io::Result<T> {
    let descriptor: OwnedFd = descriptor.into();
    // The number of a duplicate is higher than those three.
    let fits = descriptor.as_raw_fd() > libc::STDERR_FILENO;
    Ok(T::from(if fits { descriptor } else { descriptor.try_clone()? }))
}
