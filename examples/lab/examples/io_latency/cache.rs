//! Has the kernel forget what it keeps of a file in memory.

use std::fs::File;
use std::io;

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Returns whether the file itself is in memory, so that reading it never needs a disk.
pub(crate) fn is_in_memory(file: &File) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    return Ok(nix::sys::statfs::fstatfs(file)?.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    #[cfg(target_os = "freebsd")]
    return Ok(nix::sys::statfs::fstatfs(file)?.filesystem_type_name() == "tmpfs");
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    return unsupported(file).map(|()| false);
}

/// Has the kernel read no more of the file than it is asked for.
pub(crate) fn read_nothing_ahead(file: &File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    return Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?);
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    return unsupported(file);
}

/// Has the kernel drop what it keeps of the file.
pub(crate) fn drop_pages(file: &File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    return Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?);
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    return unsupported(file);
}

/// Fails: the system has no `posix_fadvise(2)`, or it does nothing.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn unsupported(_: &File) -> io::Result<()> {
    Err(io::Error::other("this system cannot be told what to keep of a file in memory"))
}
