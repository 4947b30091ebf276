//! The descriptors of this process.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use super::uprobe_events;

/// Returns the descriptors that wake libdtrace while it waits.
pub(crate) fn wait_descriptors() -> BTreeSet<i32> {
    of_kind("anon_inode:[eventfd")
}

/// Stops tracing in the kernel at once by closing the descriptors that keep it on, and removes its traces.
/// libdtrace's own close does the same after seconds of freeing memory that is about to vanish.
pub(crate) fn end_tracing() {
    for fd in of_kind("anon_inode:[perf_event]") {
        // SAFETY: closing is memory-safe, and libdtrace, which owns the descriptor, is not called afterwards.
        unsafe { libc::close(fd) };
    }
    uprobe_events::remove_own();
}

/// Closes every descriptor but the standard three. The caller must not use one afterwards.
pub(crate) fn close_inherited_descriptors() {
    // SAFETY: a worker calls this at its start, before the process has opened anything, and nothing here uses
    // inherited descriptors. Old kernels lack the call; the descriptors then stay open.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
    }
}

/// Opens `/dev/null` as each of standard input, output and error that is closed. Otherwise a file of this
/// process would get its number, and what is printed would go there.
pub(crate) fn open_standard_descriptors() {
    loop {
        // A new descriptor gets the lowest free number.
        match std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
            Ok(file) if file.as_raw_fd() <= libc::STDERR_FILENO => drop(file.into_raw_fd()),
            _ => return,
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

/// Duplicates a descriptor of this process.
pub(crate) fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only duplicated, which fails cleanly if it is not open.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}
