//! What must be asked of each operating system in its own way?

#[cfg(target_os = "linux")]
mod kernel_objects;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
mod freebsd;
#[cfg(not(target_os = "linux"))]
pub(crate) use freebsd::*;
