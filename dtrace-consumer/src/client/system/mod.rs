//! What the user's process requires of the operating system.
//!
//! There is one module for Linux and one for the others, with the same items. The rest of the client is independent
//! of the system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod sun;

#[cfg(target_os = "linux")]
use linux as own;
#[cfg(not(target_os = "linux"))]
use sun as own;

use std::path::Path;

pub(super) use own::{
    ProcessHandle, WORKERS_ARE_COPIED, circumstances, confinement, exists, explained_by_limit,
    functions_are_off, is_usable_cpu, kernel, kernel_symbols, largest_file, library_directories,
    own_executable, privilege, tracer_of, traces_for_this_process,
};

/// What to do about a tracer that follows this program's children.
pub(super) const LET_CHILDREN_GO: &str = "detach it, or do not let it follow children";

/// Returns who traces this program, such as `process 12 (strace)`, if anyone does.
pub(super) fn own_tracer() -> Option<String> {
    let tracer = tracer_of(std::process::id())?;
    Some(format!("process {tracer} ({})", own::name_of(tracer).unwrap_or_default()))
}

/// Says that this crate's code is in a library, so that no worker can start.
fn foreign_home(library: &Path) -> String {
    format!(
        "this crate's code is in {} and not in the program itself, so that starting the program again would not start \
         a worker (name a worker program with `worker(path)`, such as dtrace-worker)",
        library.display()
    )
}
