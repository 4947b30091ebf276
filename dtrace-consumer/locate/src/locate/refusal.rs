//! Why is a libdtrace not used?

use std::path::PathBuf;

use super::{KNOWN_VERSIONS, OLDEST_VERSION, PREFIX_VARIABLE};
use crate::debug::debug_as_text;
use crate::path::PathProblem;
use crate::prefix::{SONAME, Unreadable};

/// Why a place was not used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no libdtrace.
    #[error("no {SONAME}")]
    Missing,
    /// Something could not be read, so there may or may not be a libdtrace.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// The operating system's error.
        why: String,
    },
    /// libdtrace or its dynamic loader does not support the path.
    #[error("its path {0}, which libdtrace does not support (move it to another path)")]
    UnusablePath(PathProblem),
    /// The file is not a shared library, or it is damaged.
    #[error("not an ELF file, or damaged")]
    NotALibrary,
    /// It is built for a different processor than this program.
    #[error("built for another processor")]
    OtherArchitecture,
    /// No version could be read from it.
    #[error("has no D version string")]
    NoVersion,
    /// Its version is older than [`OLDEST_VERSION`], or cannot be compared with it.
    #[error(
        "version {} is not supported: its structures differ from those of {} (install {OLDEST_VERSION} or later)",
        .0, KNOWN_VERSIONS.join(", ")
    )]
    Version(String),
    /// Its version is not known, and the caller of the search does not admit it.
    #[error("version {version} {why}")]
    NotAdmitted {
        /// Its version.
        version: String,
        /// Why, and what to do.
        why: String,
    },
    /// A part of it belongs to an untrusted user.
    #[error("{} belongs to user {owner}, who is not trusted with this process's privilege", path.display())]
    OwnedByOthers {
        /// The part.
        path: PathBuf,
        /// The id of the user who owns it.
        owner: u32,
    },
    /// A part of it is world-writable.
    #[error("{} is world-writable, and would run with this process's privilege", path.display())]
    WritableByOthers {
        /// The part.
        path: PathBuf,
    },
}

debug_as_text! {
    enum Refusal {
        Missing,
        Unreadable { path, why },
        UnusablePath(cause),
        NotALibrary,
        OtherArchitecture,
        NoVersion,
        Version(cause),
        NotAdmitted { version, why },
        OwnedByOthers { path, owner },
        WritableByOthers { path },
    }
}

impl Refusal {
    /// Returns how a user has it used in spite of the refusal. An elevated worker does not heed the user.
    pub(super) fn override_by_user(&self) -> Option<String> {
        let trusted =
            !matches!(self, Refusal::OwnedByOthers { .. } | Refusal::WritableByOthers { .. });
        (!trusted).then(|| format!("set {PREFIX_VARIABLE} to the prefix to use it anyway"))
    }
}

impl From<Unreadable> for Refusal {
    fn from(Unreadable { path, source }: Unreadable) -> Refusal {
        Refusal::Unreadable { path, why: source.to_string() }
    }
}
