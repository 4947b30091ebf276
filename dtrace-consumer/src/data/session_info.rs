//! What a session reports about itself: library, kernel, compiled scripts, processes.

use std::fmt;

use serde::Serialize;

use super::listing::{Attributes, ListedProbe};

/// The layout of libdtrace's data. Linux has its own; the others share a lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// DTrace for Linux 2.
    Linux,
    /// FreeBSD.
    #[serde(rename = "freebsd")]
    FreeBsd,
    /// macOS.
    #[serde(rename = "macos")]
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

/// The order of the bytes in traced data: that of the traced machine. A recording is replayed on a machine with
/// the same byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum ByteOrder {
    /// The least significant byte first, as on x86 and ARM.
    LittleEndian,
    /// The most significant byte first, as on IBM Z.
    BigEndian,
}

impl ByteOrder {
    /// The byte order of this machine.
    pub(crate) const OWN: ByteOrder =
        if cfg!(target_endian = "little") { ByteOrder::LittleEndian } else { ByteOrder::BigEndian };

    pub(crate) fn from_number(n: u8) -> Option<ByteOrder> {
        [ByteOrder::LittleEndian, ByteOrder::BigEndian].get(usize::from(n)).copied()
    }
}

impl fmt::Display for ByteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ByteOrder::LittleEndian => "little-endian",
            ByteOrder::BigEndian => "big-endian",
        })
    }
}

/// Why a libdtrace was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Its version is one of those whose structures are known.
    #[default]
    Known,
    /// Its version is another one or tells nothing, and a self-check has shown that it answers as predicted.
    Verified,
    /// The session is a part of such a self-check.
    UnderCheck,
}

impl Admission {
    pub(crate) fn from_number(n: u8) -> Option<Admission> {
        [Admission::Known, Admission::Verified, Admission::UnderCheck].get(usize::from(n)).copied()
    }
}

/// The library, kernel and machine that a session's data come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// libdtrace's version, such as `2.0.7`.
    pub library_version: String,
    /// The library file.
    pub library: String,
    /// The platform, which determines the layout of records.
    pub platform: Platform,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The machine's architecture, as `uname -m` prints it.
    pub machine: String,
    /// D libraries that were omitted, because this kernel or library cannot compile them. Their translators
    /// and constants are unavailable to the script.
    pub omitted_libraries: Vec<OmittedLibrary>,
    /// The byte order of the machine.
    pub byte_order: ByteOrder,
    /// Why the library was loaded.
    pub admission: Admission,
}

/// A D library that was omitted from a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OmittedLibrary {
    /// The file's name, such as `io.d`.
    pub file: String,
    /// libdtrace's message about it.
    pub reason: String,
}

/// libdtrace's information about a compiled script (`dtrace_proginfo_t`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProgramInfo {
    /// Number of probes that the script's clauses match.
    pub matches: u32,
    /// Number of clauses that record data.
    pub record_generators: u32,
    /// The least stable of the probe descriptions.
    pub description_stability: Attributes,
    /// The least stable of the statements.
    pub statement_stability: Attributes,
    /// The probe description of each statement, in the script's order. Empty parts match anything. Details
    /// describe the first probe that matches; only [`check`](crate::Session::check) asks for them.
    pub clauses: Vec<ListedProbe>,
}

/// An option set by the script itself with `setopt()` (`dtrace_setoptdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OptionChange {
    /// The option's name.
    pub name: String,
    /// Its value before; `None` if it was not set.
    pub old: Option<u64>,
    /// Its value now.
    pub new: Option<u64>,
}

/// Formats as `strsize: 256 -> 512`.
impl fmt::Display for OptionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: Option<u64>| value.map_or("unset".to_owned(), |n| n.to_string());
        write!(f, "{}: {} -> {}", self.name, text(self.old), text(self.new))
    }
}

/// An event of a traced process that libdtrace reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessEvent {
    /// The process.
    pub pid: i32,
    /// Whether it has ended.
    pub gone: bool,
    /// libdtrace's error message about it, if any.
    pub message: Option<String>,
}

/// Formats as `process 42 has ended`, followed by the message if there is one.
impl fmt::Display for ProcessEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.gone { "has ended" } else { "cannot be followed" };
        write!(f, "process {} {state}", self.pid)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {}", message.trim_end()))
    }
}
