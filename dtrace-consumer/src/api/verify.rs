//! Which libdtraces would be used here, and do they have the structures that this crate expects?
//!
//! A libdtrace of Linux of a [known](crate::locate::KNOWN_VERSIONS) version needs no check. One of another version, and
//! any libdtrace of FreeBSD, macOS and illumos, is used only after a self-check, which traces with scripts whose answers are
//! predicted. Sessions run it by themselves when
//! they need it, and keep the verdict for the library's build, the kernel and the version of this crate: in
//! `$XDG_CACHE_HOME/dtrace-consumer/verdicts` (`~/.cache` by default), and those of root in [`SYSTEM_VERDICTS`].
//!
//! [Elevated](crate::elevation) workers never run it for a user. They trust only the verdicts of root in
//! [`SYSTEM_VERDICTS`]. `dtrace-worker verify`, run by root, writes these, as does [`verify`] in a process of root.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::selfcheck::{self, Finding};
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::locate::{Candidate, Libdtrace, Search, Standing};
use crate::verdict::{SYSTEM_DIRECTORY, Store, Subject, Verdict};
use crate::worker::elevated::search as search_of_elevated_worker;

/// The directory of the verdicts that elevated workers trust.
pub const SYSTEM_VERDICTS: &str = SYSTEM_DIRECTORY;

/// Options of [`verify`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The prefix to search instead of the usual places.
    pub prefix: Option<PathBuf>,
    /// Whether to check libraries of known versions, too. Sessions do not check these.
    pub known: bool,
}

/// What is known of a libdtrace after [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// Its version is known; it was not checked.
    Known,
    /// It has answered all questions as predicted.
    Matches {
        /// How many answers were compared.
        answers: usize,
        /// How long the check took.
        took: Duration,
    },
    /// It must not be used.
    Differs {
        /// The first answer that differs, or how it failed.
        what: String,
        /// How long the check took.
        took: Duration,
    },
    /// The check could not be run.
    Undecided {
        /// Why.
        why: String,
    },
}

/// A libdtrace, with what [`verify`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// The library.
    pub library: Libdtrace,
    /// What is known of it now.
    pub result: Verification,
    /// The directories in which the verdict is kept.
    pub kept: Vec<PathBuf>,
    /// Why the verdict could not be kept in others.
    pub unkept: Vec<String>,
}

impl Verified {
    /// Returns whether sessions may use the library.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.result, Verification::Known | Verification::Matches { .. })
    }
}

/// Formats the library and the result, with a line for each directory in which the verdict is, or could not be, kept.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.library.version.as_deref().unwrap_or("of unknown version");
        let (file, origin) = (self.library.library.display(), self.library.origin);
        write!(f, "{file} ({origin}): libdtrace {version} ")?;
        match &self.result {
            Verification::Known => write!(f, "is known")?,
            Verification::Matches { answers, took } => {
                let took = took.as_secs_f64();
                write!(f, "is verified: all {answers} answers as predicted, in {took:.1} s")?;
            }
            Verification::Differs { what, took } => {
                write!(f, "differs: {what} (checked in {:.1} s)", took.as_secs_f64())?;
            }
            Verification::Undecided { why } => write!(f, "could not be checked: {why}")?,
        }
        for directory in &self.kept {
            write!(f, "\n  kept in {}", directory.display())?;
        }
        for why in &self.unkept {
            write!(f, "\n  not kept: {why}")?;
        }
        Ok(())
    }
}

/// Checks each libdtrace that a search finds, even if there is a verdict on it, and calls `each` with the result.
/// Returns the places that have no libdtrace to check. A process of root also checks the library that elevated workers
/// use, and keeps the verdicts in [`SYSTEM_VERDICTS`].
///
/// # Errors
/// [`Error::Unavailable`] if this process may not trace.
pub fn verify(options: &Options, mut each: impl FnMut(&Verified)) -> Result<Vec<Candidate>, Error> {
    crate::client::preflight::require_privilege()?;
    let own = Search { caller: options.prefix.clone(), ..Search::of_this_process() };
    let is_root = nix::unistd::geteuid().is_root();
    let elevated = (is_root && options.prefix.is_none()).then(search_of_elevated_worker).flatten();
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut passed = Vec::new();
    for search in std::iter::once(own).chain(elevated) {
        let (candidates, _) = search.trace_admitting(|library| {
            if !seen.contains(&library.library) {
                seen.push(library.library.clone());
                each(&verified(library, options.known));
            }
            // The search goes on to the next place.
            Err(String::new())
        });
        let is_new = |it: &Candidate| !seen.iter().any(|library| library.starts_with(&it.path));
        passed.extend(candidates.into_iter().filter(is_new));
    }
    Ok(passed)
}

/// Checks a library, and keeps the verdict.
fn verified(library: &Libdtrace, known: bool) -> Verified {
    let nothing = |result| Verified {
        library: library.clone(),
        result,
        kept: Vec::new(),
        unkept: Vec::new(),
    };
    if library.standing == Standing::Known && !known {
        return nothing(Verification::Known);
    }
    let finding = selfcheck::check(library, None, &Ending::default());
    let mut verified = match &finding {
        Finding::Undecided(why) => nothing(Verification::Undecided { why: why.clone() }),
        Finding::Decided { verdict, answers, took } => {
            let (answers, took) = (*answers, *took);
            nothing(match verdict {
                Verdict::Matches => Verification::Matches { answers, took },
                Verdict::Differs(what) => Verification::Differs { what: what.clone(), took },
            })
        }
    };
    let needs_none = library.standing == Standing::Known;
    if let (Some(verdict), false) = (finding.verdict(), needs_none) {
        keep(&mut verified, verdict);
    }
    verified
}

fn keep(verified: &mut Verified, verdict: &Verdict) {
    let Some(subject) = Subject::here(&verified.library) else {
        verified.unkept.push("the library or the kernel has no name of its own".to_owned());
        return;
    };
    // That of root is the system's.
    if let Some(store) = Store::of_user() {
        let directory: &Path = store.directory();
        match store.write(&subject, verdict) {
            Ok(()) => verified.kept.push(directory.to_owned()),
            Err(error) => verified.unkept.push(format!("{}: {error}", directory.display())),
        }
    }
}
