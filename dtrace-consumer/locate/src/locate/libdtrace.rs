//! What does a process need to know to use a libdtrace?

use std::path::PathBuf;

use super::identity::identity;
use super::{Loader, Origin, Standing};

/// A usable libdtrace, with what a process needs to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libdtrace {
    /// The shared library to load.
    pub library: PathBuf,
    /// The directory of its D libraries, for the option `syslibdir`. `None` if it is unknown: the
    /// library then uses its default, and no D library can be left out.
    pub syslibdir: Option<PathBuf>,
    /// The dynamic loader that must start the process, if the library needs a newer C library than the
    /// system's. `None` if any process can load it.
    pub loader: Option<Loader>,
    /// Where it was found.
    pub origin: Origin,
    /// Its version, such as `2.0.7`: the text after `D ` in `_dtrace_version`. `None` on
    /// macOS, where only loading it reveals the version.
    pub version: Option<String>,
    /// How far its structures are known.
    pub standing: Standing,
}

impl Libdtrace {
    /// Returns what tells this build of the library from others, as hexadecimal digits: its build-id, or a digest of
    /// its file on FreeBSD, macOS and illumos, whose libraries have none. `None` for a library of Linux without a build-id.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        identity(&self.library)
    }
}
