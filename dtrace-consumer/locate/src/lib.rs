//! Finds the libdtrace that `dtrace-consumer` loads. Where the system has no supported one, it can
//! unpack a private copy.
//!
//! - [`locate`] chooses a libdtrace, and documents the rules.
//! - [`install`] unpacks one from the distribution's packages, and reports what a prefix holds.
//!
//! This crate does not load libdtrace, so build scripts can use it. `dtrace-consumer` re-exports
//! both modules.
#![forbid(unsafe_code)]

mod debug;
pub mod install;
pub mod locate;
mod path;
mod prefix;

pub use prefix::xdg_directory;

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
