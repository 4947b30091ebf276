//! The descriptors of this process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

use super::uprobe_events;
use crate::worker::system::descriptors::null;

/// A descriptor that [`end_tracing`] can do without.
static SPARE: Mutex<Option<File>> = Mutex::new(None);

/// Sets a descriptor aside, so that tracing can end where libdtrace has used all that the process may have.
pub(super) fn set_one_aside() {
    *SPARE.lock() = null().ok();
}

/// Fails unless this process can still open so many descriptors.
pub(in crate::worker) fn are_left(number: usize) -> io::Result<()> {
    // A confined worker opens no files, and standard input is open in every worker.
    let duplicates = (0..number).map(|_| io::stdin().as_fd().try_clone_to_owned());
    duplicates.collect::<io::Result<Vec<OwnedFd>>>().map(drop)
}

/// Returns the descriptors that wake libdtrace while it waits.
pub(crate) fn wait_descriptors() -> BTreeSet<i32> {
    of_kind("anon_inode:[eventfd")
}

/// Returns the descriptors of BPF maps.
pub(in crate::worker) fn bpf_maps() -> BTreeSet<i32> {
    of_kind("anon_inode:bpf-map")
}

/// Stops tracing in the kernel at once by closing the descriptors that keep it on, and removes its traces.
/// libdtrace's own close does the same after seconds of freeing memory that is about to vanish.
pub(crate) fn end_tracing() {
    // Two threads may end tracing. If both closed a number, the second might close a file of the first.
    let mut spare = SPARE.lock();
    // Each look at files takes one descriptor at a time.
    drop(spare.take());
    for fd in of_kind("anon_inode:[perf_event]") {
        // SAFETY: closing touches no memory. Of the descriptors, libdtrace owns most, and `wake_ups` the others, which it
        // does not close. Neither is called afterwards, or this process ends as soon as this returns.
        unsafe { libc::close(fd) };
    }
    uprobe_events::remove_own();
    drop(spare);
}

/// Makes an event descriptor refer to another event, which no other process shares.
///
/// # Errors
/// There can be no other one.
pub(crate) fn renew_event(fd: i32) -> io::Result<()> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let event = EventFd::from_value_and_flags(0, flags)?;
    // SAFETY: the call touches no memory. libdtrace, which owns the number, finds an event descriptor there as
    // before, and does not wait on it yet.
    let renewed = unsafe { libc::dup3(event.as_fd().as_raw_fd(), fd, libc::O_CLOEXEC) };
    if renewed == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a copy of a worker let go of what the original uses: each socket except this one, and the standard
/// descriptors. Their numbers stay in use.
pub(crate) fn let_go_of_sockets(except: BorrowedFd<'_>) -> io::Result<()> {
    let null = null()?;
    let sockets = of_kind("socket:[").into_iter().filter(|fd| *fd != except.as_raw_fd());
    let standard = (libc::STDIN_FILENO..=libc::STDERR_FILENO).map(|fd| (fd, 0));
    for (fd, flags) in sockets.map(|fd| (fd, libc::O_CLOEXEC)).chain(standard) {
        // SAFETY: the call touches no memory. The objects of this crate that own these descriptors are not used in this
        // process any more. A library whose initialiser has opened a socket finds a file in its place.
        if unsafe { libc::dup3(null.as_raw_fd(), fd, flags) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Points all inherited descriptors except the standard three at `/dev/null`. Their numbers stay in
/// use.
///
/// A descriptor without the flag close-on-exec may also be one that a library's initialiser has opened in this
/// process, and that its code still uses. If its number were free, that code would read and write whatever this
/// process opens next. A descriptor with the flag is not inherited.
pub(crate) fn close_inherited_descriptors() {
    let Ok(null) = null() else { return };
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let fds = entries.filter_map(|fd| fd.file_name().to_str()?.parse::<i32>().ok());
    for fd in fds.filter(|fd| *fd > libc::STDERR_FILENO) {
        // SAFETY: neither call touches memory. Replacing a file is as safe for users of the descriptor as a
        // file that fails; this function's own descriptors have the flag.
        unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
                libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC);
            }
        }
    }
}

/// Returns this process's descriptors of a kind, by the prefix of their link in /proc.
fn of_kind(kind: &str) -> BTreeSet<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries
        .filter(|fd| {
            std::fs::read_link(fd.path())
                .is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(kind.as_bytes()))
        })
        .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
        .collect()
}
