//! The PID namespace of this process.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Its file.
pub(in crate::worker) const NAMESPACE: &str = "/proc/self/ns/pid";

/// The file number of the initial PID namespace. The kernel has reserved it.
pub(in crate::worker) const INITIAL: u64 = 0xefff_fffc;

/// Returns whether this process's numbers of processes are those of the whole system.
pub(super) fn is_in_initial_namespace() -> bool {
    fs::metadata(NAMESPACE).is_ok_and(|file| file.ino() == INITIAL)
}

/// Returns whether `/proc` is that of this process's PID namespace.
pub(super) fn proc_is_own() -> bool {
    let own = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == &*own)
}
