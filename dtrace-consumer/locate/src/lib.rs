//! Finds the libdtrace that `dtrace-consumer` loads, and unpacks a private one where the system has
//! none that is supported.
//!
//! - [`locate`] has the rules by which a libdtrace is chosen.
//! - [`install`] unpacks one from the distribution's packages, and tells what is unpacked.
//!
//! Nothing here loads libdtrace, so a build script can use this crate. `dtrace-consumer` re-exports
//! both modules.
#![forbid(unsafe_code)]

pub mod install;
pub mod locate;
mod path;
mod prefix;

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
