//! libdtrace's structures, constants and declarations on each platform.
//!
//! Each module is complete: it includes what all platforms share. All of them compile on every host, which
//! checks their layouts wherever the crate is built. [`abi`](crate::abi) is that of the target.

pub(crate) mod common;
pub mod freebsd;
pub mod illumos;
pub mod linux;
pub mod macos;
mod sun;
