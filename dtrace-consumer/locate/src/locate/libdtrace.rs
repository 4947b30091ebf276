//! What does it take to use a libdtrace that was found?

use std::path::PathBuf;

use super::{Loader, Origin};

/// A libdtrace that can be used, and what it takes to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libdtrace {
    /// The shared library to load.
    pub library: PathBuf,
    /// The directory of its D libraries, for the option `syslibdir`. `None` if it is not known: the
    /// library uses its own default then, and no D library can be left out.
    pub syslibdir: Option<PathBuf>,
    /// The dynamic loader that the process has to be started with, if the library needs a newer
    /// C library than the system's. `None` if any process can load it.
    pub loader: Option<Loader>,
    /// Where it was found.
    pub origin: Origin,
    /// Its version, such as `2.0.7`: the text after `D ` in `_dtrace_version`. `None` where only
    /// loading it tells (systems other than Linux).
    pub version: Option<String>,
}
