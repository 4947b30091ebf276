//! Everything in this crate that the compiler cannot check: calls into libdtrace and its callbacks,
//! the start-up hook, the traced command's way through fork and exec, and bare calls to the system.
//!
//! The rest of the crate denies unsafe code. What a caller of these modules may rely on, and what it
//! must keep, is said where each function is.

#[cfg(target_os = "linux")]
mod aggregations;
#[cfg(target_os = "linux")]
mod callbacks;
#[cfg(target_os = "linux")]
mod created_process;
#[cfg(target_os = "linux")]
mod delivered;
#[cfg(target_os = "linux")]
pub(crate) mod drop_counters;
#[cfg(target_os = "linux")]
pub(crate) mod exit_stop;
#[cfg(target_os = "linux")]
mod gate;
pub(crate) mod held_command;
#[cfg(target_os = "linux")]
mod inquiry;
#[cfg(target_os = "linux")]
mod kernel_types;
#[cfg(target_os = "linux")]
pub(crate) mod libdtrace;
#[cfg(target_os = "linux")]
mod memstream;
pub(crate) mod own_process;
#[cfg(target_os = "linux")]
mod platform;
#[cfg(target_os = "linux")]
pub(crate) use platform::PLATFORM;
pub(crate) mod start_up;
#[cfg(target_os = "linux")]
mod usdt;
