//! Why is a place not used?

use std::path::PathBuf;

use super::{PREFIX_VARIABLE, SUPPORTED_VERSIONS};
use crate::path;
use crate::prefix::{SONAME, Unreadable};

/// Why a place was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no libdtrace.
    #[error("no {SONAME} there")]
    Missing,
    /// Something there could not be read; a libdtrace may be there nevertheless.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// The operating system's words.
        why: String,
    },
    /// The path contains this character, with which libdtrace or its dynamic loader does not work.
    #[error(
        "its path contains {}, which libdtrace does not support (move it to another path)",
        path::describe(*.0)
    )]
    UnusablePath(char),
    /// The file is not a shared library, or it is damaged.
    #[error("not an ELF file, or a damaged one")]
    NotALibrary,
    /// It is built for another processor than this program.
    #[error("built for another processor")]
    OtherArchitecture,
    /// No version could be read from it.
    #[error("has no D version string")]
    NoVersion,
    /// Its version is not one of [`SUPPORTED_VERSIONS`].
    #[error("version {} is not supported (supported: {})", .0, SUPPORTED_VERSIONS.join(", "))]
    Version(String),
    /// A part of it belongs to somebody who is not trusted here.
    #[error(
        "{} belongs to user {owner}, and would run with this process's privilege (name the prefix \
         with {PREFIX_VARIABLE} to use it anyway)",
        path.display()
    )]
    OwnedByOthers {
        /// The part.
        path: PathBuf,
        /// The number of the user whom it belongs to.
        owner: u32,
    },
    /// Everybody may write to a part of it.
    #[error(
        "everybody may write to {}, and it would run with this process's privilege (name the \
         prefix with {PREFIX_VARIABLE} to use it anyway)",
        path.display()
    )]
    WritableByOthers {
        /// The part.
        path: PathBuf,
    },
}

impl From<Unreadable> for Refusal {
    fn from(Unreadable { path, source }: Unreadable) -> Refusal {
        Refusal::Unreadable { path, why: source.to_string() }
    }
}
