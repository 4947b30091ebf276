//! What the user's process requires of the operating system.
//!
//! There is one module for each system, with the same items. The rest of the client is independent of the
//! system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{
    ProcessHandle, circumstances, confinement, explained_by_limit, functions_are_off,
    is_usable_cpu, kernel, kernel_symbols, largest_file, library_directories, loses_statuses,
    own_executable, privilege, scratch_file, tracer_of, unsupported,
};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(super) use other::{
    ProcessHandle, circumstances, confinement, explained_by_limit, functions_are_off,
    is_usable_cpu, kernel, kernel_symbols, largest_file, library_directories, loses_statuses,
    own_executable, privilege, scratch_file, tracer_of, unsupported,
};
