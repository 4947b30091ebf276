//! What does a session say of itself: which library, which kernel, what was compiled, how it ended?

use serde::Serialize;

use super::listing::{Attributes, ListedProbe};

/// How libdtrace lays out what it delivers. Linux went its own way; the others share their lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// DTrace for Linux 2.
    Linux,
    /// FreeBSD.
    FreeBsd,
    /// macOS.
    MacOs,
    /// illumos.
    Illumos,
}

impl Platform {
    pub(crate) fn from_number(n: u8) -> Option<Platform> {
        [Platform::Linux, Platform::FreeBsd, Platform::MacOs, Platform::Illumos]
            .get(usize::from(n).checked_sub(1)?)
            .copied()
    }
}

/// Where a session's data come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// libdtrace's version, as `2.0.7`.
    pub library_version: String,
    /// The library file.
    pub library: String,
    /// The platform, which decides how records are laid out.
    pub platform: Platform,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The machine's architecture, as `uname -m` prints it.
    pub machine: String,
    /// D libraries that this kernel or library cannot compile and that were therefore left out; their
    /// translators and constants are not available to the script.
    pub omitted_libraries: Vec<OmittedLibrary>,
}

/// A D library that was left out of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OmittedLibrary {
    /// The file's name, as `io.d`.
    pub file: String,
    /// libdtrace's message about it.
    pub reason: String,
}

/// What libdtrace says of a compiled script (`dtrace_proginfo_t`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProgramInfo {
    /// How many probes the script's clauses matched.
    pub matches: u32,
    /// How many clauses with records it has.
    pub record_generators: u32,
    /// The least stable of the probe descriptions.
    pub description_stability: Attributes,
    /// The least stable of the statements.
    pub statement_stability: Attributes,
    /// The probe description of each statement, in the script's order; empty parts match anything.
    /// Details are those of the first probe that matches; only
    /// [`check`](crate::Session::check) asks for them.
    pub clauses: Vec<ListedProbe>,
}

/// An option set by the script itself with `setopt()` (`dtrace_setoptdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionChange {
    /// The option's name.
    pub name: String,
    /// Its value before; `None` where it was not set.
    pub old: Option<u64>,
    /// Its value now.
    pub new: Option<u64>,
}

/// What libdtrace tells of a traced process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessEvent {
    /// The process.
    pub pid: i32,
    /// Whether it is gone.
    pub gone: bool,
    /// What went wrong with it, if anything.
    pub message: Option<String>,
}
