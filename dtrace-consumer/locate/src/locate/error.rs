//! Which places had no usable libdtrace, and why?

use std::fmt;
use std::path::PathBuf;

use super::{KNOWN_VERSIONS, OLDEST_VERSION, Origin, PREFIX_VARIABLE, Refusal};
use crate::debug::debug_as_text;

/// A place that was searched and skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Why it was searched.
    pub origin: Origin,
    /// The prefix or library.
    pub path: PathBuf,
    /// Why it was not used.
    pub refused: Refusal,
}

/// `path (origin): refused (remedy)`
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { origin, path, refused } = self;
        write!(f, "{} ({origin}): {refused}", path.display())?;
        match refused.override_by_user() {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// There is no usable libdtrace. The text lists the places that were searched and the remedies.
#[derive(Clone, PartialEq, Eq)]
pub struct LocateError {
    /// The places that were searched, in order.
    pub candidates: Vec<Candidate>,
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_linux = cfg!(target_os = "linux");
        let supported = if is_linux {
            let known = KNOWN_VERSIONS.join(", ");
            format!("{known}, and other versions from {OLDEST_VERSION} on that pass a self-check")
        } else {
            "those that pass a self-check".to_owned()
        };
        writeln!(f, "no usable libdtrace (supported: {supported}):")?;
        for candidate in &self.candidates {
            writeln!(f, "  {candidate}")?;
        }
        if is_linux {
            f.write_str(
                "install the package libdtrace2, run `dtrace-worker install` to unpack a private copy, or ",
            )?;
        } else {
            f.write_str(
                "libdtrace is a part of this system: if it differs, use a version of this crate that was written \
                 for it, or ",
            )?;
        }
        write!(f, "set {PREFIX_VARIABLE} to a prefix that has one")
    }
}

impl std::error::Error for LocateError {}

debug_as_text! { struct LocateError { candidates } }
