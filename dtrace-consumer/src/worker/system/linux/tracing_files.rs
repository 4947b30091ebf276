//! The kernel's files in which libdtrace places probes.
//!
//! libdtrace opens them for writing when tracing begins. By then an elevated worker opens no file for writing. So they
//! are opened before it is confined, and libdtrace gets duplicates (`between/linux/controllable.rs`).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use super::uprobe_events::UPROBE_EVENTS;

/// libdtrace places its own probes in the first, and probes on functions of the kernel in the second.
const FILES: [&str; 2] = [UPROBE_EVENTS, "/sys/kernel/debug/tracing/kprobe_events"];

/// The open files, or why they could not be opened.
static KEPT: OnceLock<[io::Result<File>; 2]> = OnceLock::new();

/// Opens the files and keeps them open.
pub(super) fn keep_open() {
    let _ = KEPT.set(FILES.map(|path| File::options().append(true).open(path)));
}

/// Returns a duplicate of the file with this path, or why there is none; `None` if the file is not kept.
pub(in crate::worker) fn kept(path: &[u8]) -> Option<io::Result<OwnedFd>> {
    let at = FILES.iter().position(|file| file.as_bytes() == path)?;
    Some(match &KEPT.get()?[at] {
        Ok(file) => file.try_clone().map(OwnedFd::from),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO))),
    })
}
