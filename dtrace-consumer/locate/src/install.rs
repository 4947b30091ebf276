//! How does a host without a suitable libdtrace get one, and stay as it is otherwise?
//!
//! libdtrace 2.0.7 needs a newer C library than stable distributions have. So [`Installer`] unpacks
//! it from Debian's packages into a directory, the prefix, with the C library and the dynamic loader
//! that belong to it; a process started through that loader can use it ([`locate`](crate::locate)
//! tells how). The host's apt, dpkg and C library are not touched, and no privilege is needed.
//!
//! What is unpacked was signed by the distribution: apt does the download with a separate state,
//! the mirrors and proxies that the host is configured for, and the distribution's keyring.
//!
//! The prefix is built in a temporary directory beside it and renamed, so it is there as a whole or
//! not at all; of two installations at once the first one stays.

mod apt;
mod command;
mod error;
mod files;
mod host;
mod installed;
mod installer;
mod manifest;
mod select;
mod workplace;

pub use crate::prefix::default_prefix;
pub use error::InstallError;
pub use installed::{Removed, status, uninstall};
pub use installer::{Installed, Installer};
pub use manifest::{MANIFEST_NAME, Manifest, Package};
