//! What does the user's process need of the operating system?
//!
//! One module for each system, with the same items; the rest of the client names no system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{
    is_usable_cpu, kernel, own_executable, privilege, scratch_file, unsupported,
};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(super) use other::{
    is_usable_cpu, kernel, own_executable, privilege, scratch_file, unsupported,
};
