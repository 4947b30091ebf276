//! How does a host without a supported libdtrace get a private one?
//!
//! libdtrace 2.0.7 needs a newer C library than stable distributions have. So [`Installer`] unpacks
//! it from the distribution's packages into a directory, the prefix, together with its C library and
//! dynamic loader. A process that is started through that loader can use it; see
//! [`locate`](crate::locate). The host's apt, dpkg and C library are not touched, and no privilege is
//! needed.
//!
//! The distribution has signed everything that is unpacked: apt downloads it with a separate state,
//! the host's mirrors and proxies, and the distribution's keyring.
//!
//! [`choose_prefix`] finds out which of several prefixes is suitable: libdtrace does not support every path.
//!
//! The prefix is built in a temporary directory beside its final place and then renamed, so it is
//! complete or absent. If two installations run at once, the first one to finish stays.

mod apt;
mod command;
mod error;
mod files;
mod host;
mod installed;
mod installer;
mod manifest;
mod place;
mod select;
mod workplace;

pub use crate::prefix::default_prefix;
pub use error::InstallError;
pub use installed::{Removed, status, uninstall};
pub use installer::{Installed, Installer};
pub use manifest::{MANIFEST_NAME, Manifest, Package};
pub use place::{Chosen, choose_prefix, prefix_in_target};
