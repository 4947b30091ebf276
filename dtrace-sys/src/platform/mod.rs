//! What is libdtrace in memory on each platform: structures, constants and declarations?
//!
//! Each module is complete: it holds also what all platforms share. All of them compile on every
//! host, so that their layouts are checked wherever the crate is built. [`abi`](crate::abi) is the
//! one of the target.

pub(crate) mod common;
pub mod freebsd;
pub mod illumos;
pub mod linux;
pub mod macos;
mod sun;
