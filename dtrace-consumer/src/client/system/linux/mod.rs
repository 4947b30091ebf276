//! What the user's process requires of Linux.

mod checks;
mod circumstances;
mod executable;
mod limits;
#[expect(unsafe_code, reason = "system calls without a safe wrapper")]
mod process;

use std::io;
use std::path::Path;

use crate::client::lossy::read_lossy;

pub(in crate::client) use checks::{confinement, functions_are_off, kernel, privilege};
pub(in crate::client) use circumstances::circumstances;
pub(in crate::client) use executable::{library_directories, own_executable};
pub(in crate::client) use limits::{explained_by_limit, largest_file};
pub(in crate::client) use process::ProcessHandle;

/// Whether a worker can be a copy of another one.
pub(in crate::client) const WORKERS_ARE_COPIED: bool = true;

/// Returns this process's PID in /proc.
fn number_in_proc() -> io::Result<u32> {
    let link = std::fs::read_link("/proc/self")?;
    link.to_str().and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
}

/// Returns whether a process exists.
pub(in crate::client) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Returns the kernel's symbols, as in `/proc/kallsyms`; empty if they cannot be read.
pub(in crate::client) fn kernel_symbols() -> String {
    read_lossy("/proc/kallsyms").unwrap_or_default()
}

/// Returns the name of a process.
pub(in crate::client) fn name_of(pid: u32) -> Option<String> {
    read_lossy(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// Returns whether a process is the one that traces what this process traces: one of its threads.
pub(in crate::client) fn traces_for_this_process(tracer: u32) -> bool {
    Path::new(&format!("/proc/self/task/{tracer}")).exists()
}

/// Returns which process traces another one, if any does.
pub(in crate::client) fn tracer_of(pid: u32) -> Option<u32> {
    let status = read_lossy(format!("/proc/{pid}/status")).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    tracer.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// Returns whether this process may run on the CPU with the given number.
pub(in crate::client) fn is_usable_cpu(number: u64) -> bool {
    let status = read_lossy("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.is_some_and(|list| {
        list.trim().split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last))
                if (first..=last).contains(&number))
        })
    })
}
