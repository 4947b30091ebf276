//! What does a session say of itself: which library, which kernel, what was compiled, how it ended?

use crate::listing::{Attributes, ListedProbe};
use crate::stream::wire::{Malformed, Put, Take};

/// How libdtrace lays out what it delivers. Linux went its own way; the others share their lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    fn from_number(n: u8) -> Option<Platform> {
        [Platform::Linux, Platform::FreeBsd, Platform::MacOs, Platform::Illumos]
            .get(usize::from(n).checked_sub(1)?)
            .copied()
    }
}

/// Where a session's data come from.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmittedLibrary {
    /// The file's name, as `io.d`.
    pub file: String,
    /// libdtrace's message about it.
    pub reason: String,
}

impl OmittedLibrary {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.file);
        b.put_str(&self.reason);
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<OmittedLibrary, Malformed> {
        Ok(OmittedLibrary { file: t.string("library file")?, reason: t.string("reason")? })
    }
}

impl SessionInfo {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.library_version);
        b.put_str(&self.library);
        b.put_u8(self.platform as u8 + 1);
        b.put_str(&self.kernel);
        b.put_str(&self.machine);
        b.put_list(self.omitted_libraries.iter(), |b, o| o.put(b));
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<SessionInfo, Malformed> {
        Ok(SessionInfo {
            library_version: t.string("library version")?,
            library: t.string("library")?,
            platform: Platform::from_number(t.u8("platform")?)
                .ok_or(Malformed::new("platform", "not one that this crate knows"))?,
            kernel: t.string("kernel")?,
            machine: t.string("machine")?,
            omitted_libraries: t.list("omitted libraries", OmittedLibrary::take)?,
        })
    }
}

/// What libdtrace says of a compiled script (`dtrace_proginfo_t`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// [`check`](crate::Builder::check) asks for them.
    pub clauses: Vec<ListedProbe>,
}

impl ProgramInfo {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.matches);
        b.put_u32(self.record_generators);
        self.description_stability.put(b);
        self.statement_stability.put(b);
        b.put_list(self.clauses.iter(), |b, clause| clause.put(b));
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<ProgramInfo, Malformed> {
        Ok(ProgramInfo {
            matches: t.u32("matches")?,
            record_generators: t.u32("generators")?,
            description_stability: Attributes::take(t)?,
            statement_stability: Attributes::take(t)?,
            clauses: t.list("clauses", ListedProbe::take)?,
        })
    }
}

/// An option set by the script itself with `setopt()` (`dtrace_setoptdata_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionChange {
    /// The option's name.
    pub name: String,
    /// Its value before; `None` where it was not set.
    pub old: Option<u64>,
    /// Its value now.
    pub new: Option<u64>,
}

impl OptionChange {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.name);
        b.put_option(self.old, |b, v| b.put_u64(v));
        b.put_option(self.new, |b, v| b.put_u64(v));
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<OptionChange, Malformed> {
        Ok(OptionChange {
            name: t.string("option")?,
            old: t.option("old value", |t| t.u64("old value"))?,
            new: t.option("new value", |t| t.u64("new value"))?,
        })
    }
}

/// What libdtrace tells of a traced process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEvent {
    /// The process.
    pub pid: i32,
    /// Whether it is gone.
    pub gone: bool,
    /// What went wrong with it, if anything.
    pub message: Option<String>,
}

impl ProcessEvent {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_i32(self.pid);
        b.put_bool(self.gone);
        b.put_option(self.message.as_deref(), |b, v| b.put_str(v));
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<ProcessEvent, Malformed> {
        Ok(ProcessEvent {
            pid: t.i32("pid")?,
            gone: t.bool("gone")?,
            message: t.option("message", |t| t.string("message"))?,
        })
    }
}
