//! Which numbers may descriptors of this crate have?

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Gives a new descriptor another number if it has that of standard input, output or error. They are free in
/// a process that was started without them, and what the program prints would go to the descriptor.
pub(super) fn above_standard<T: From<OwnedFd> + Into<OwnedFd>>(descriptor: T) -> io::Result<T> {
    let descriptor: OwnedFd = descriptor.into();
    // The number of a duplicate is higher than those three.
    let fits = descriptor.as_raw_fd() > libc::STDERR_FILENO;
    Ok(T::from(if fits { descriptor } else { descriptor.try_clone()? }))
}
