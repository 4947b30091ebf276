//! Where is libdtrace searched for, and what is accepted?

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::image::examine;
use super::system::{built_in, same_file, system_directories};
use super::trust::require_trust;
use super::version::{find_version, standing};
use super::{
    Candidate, Libdtrace, Loader, LocateError, Origin, PREFIX_VARIABLE, Refusal, Standing,
};
use crate::path::{self, PathProblem};
use crate::prefix::{self, PREFIX_NAME, SONAME};

/// How many directories above the program's own are searched: enough for
/// `target/<triple>/<profile>/build/examples`.
const ANCESTORS: usize = 4;

/// The places to search. [`Search::of_this_process`] fills them in; the default searches nowhere.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The caller's prefix.
    pub caller: Option<PathBuf>,
    /// The value of `DTRACE_CONSUMER_PREFIX`; an empty value counts as unset.
    pub environment: Option<OsString>,
    /// The system's library directories.
    pub system: Vec<PathBuf>,
    /// The running program.
    pub program: Option<PathBuf>,
    /// The prefix in the user's data directory.
    pub user_data: Option<PathBuf>,
    /// The effective user, who is trusted like root. `None` trusts only root.
    pub user: Option<u32>,
}

impl Search {
    /// Returns the places of this process.
    #[must_use]
    pub fn of_this_process() -> Search {
        Search {
            caller: None,
            environment: std::env::var_os(PREFIX_VARIABLE),
            system: system_directories(),
            program: std::env::current_exe().ok(),
            user_data: prefix::default_prefix(),
            // The effective user owns a process's directory in /proc.
            user: fs::metadata("/proc/self").ok().map(|it| it.uid()),
        }
    }

    /// Returns the places of a worker that serves other users: the prefix `chosen` if the administrator
    /// named one; otherwise the system's library, then the prefix `fallback` if it belongs to root.
    /// Neither the environment nor the program's path matters.
    #[must_use]
    pub fn of_elevated_worker(chosen: Option<&Path>, fallback: &Path) -> Search {
        Search {
            caller: chosen.map(Path::to_owned),
            system: system_directories(),
            user_data: Some(fallback.to_owned()),
            ..Search::default()
        }
    }

    /// Returns the first usable libdtrace, verified or not.
    ///
    /// # Errors
    /// [`LocateError`] if there is none, or if the one that was ordered is unusable.
    pub fn run(&self) -> Result<Libdtrace, LocateError> {
        self.trace().1
    }

    /// Searches like [`run`](Self::run), and also returns the places that were skipped.
    pub fn trace(&self) -> (Vec<Candidate>, Result<Libdtrace, LocateError>) {
        self.trace_admitting(|found| Ok(found.standing))
    }

    /// Searches like [`trace`](Self::trace), and asks `admit` about each usable libdtrace in turn, until it admits one.
    /// It returns the library's standing, or why the library is not used and what to do. Like any other unusable
    /// library, one that is not admitted is skipped, or fails the search if it was ordered.
    pub fn trace_admitting(
        &self,
        mut admit: impl FnMut(&Libdtrace) -> Result<Standing, String>,
    ) -> (Vec<Candidate>, Result<Libdtrace, LocateError>) {
        let mut seen = Seen { passed: Vec::new(), admit: &mut admit };
        let found = self.first(&mut seen);
        let passed = seen.passed;
        (passed.clone(), found.ok_or(LocateError { candidates: passed }))
    }

    fn first(&self, seen: &mut Seen<'_>) -> Option<Libdtrace> {
        if let Some(prefix) = &self.caller {
            return self.offer(Origin::Caller, prefix, None, seen);
        }
        match self.environment.as_deref().filter(|it| !it.is_empty()) {
            Some(word) if word == "system" => return self.system(seen),
            Some(prefix) => {
                return self.offer(Origin::Environment, Path::new(prefix), None, seen);
            }
            None => {}
        }
        if let Some(found) = self.system(seen) {
            return Some(found);
        }
        let mut trusted = vec![0];
        trusted.extend(self.user);
        if let Some(program) = &self.program {
            let owner = fs::metadata(program).map(|it| it.uid());
            let trusted: Vec<u32> = trusted.iter().copied().chain(owner).collect();
            for directory in program.ancestors().skip(1).take(ANCESTORS + 1) {
                let prefix = directory.join(PREFIX_NAME);
                let found = self.offer(Origin::Program, &prefix, Some(&trusted), seen);
                if found.is_some() {
                    return found;
                }
            }
        }
        let prefix = self.user_data.as_deref()?;
        self.offer(Origin::UserData, prefix, Some(&trusted), seen)
    }

    fn system(&self, seen: &mut Seen<'_>) -> Option<Libdtrace> {
        if let Some(library) = built_in() {
            return seen.see(Origin::System, library.to_owned(), of_system(library));
        }
        for directory in &self.system {
            let library = directory.join(SONAME);
            let found = require_path(&library).and_then(|()| examine(&library)).map(|version| {
                let syslibdir = d_libraries_beside(directory);
                let path = library.clone();
                found(path, syslibdir, None, Origin::System, version)
            });
            // Most directories have none. One line for all of them is enough; see below.
            if let Err(Refusal::Missing) = found {
                continue;
            }
            if let Some(found) = seen.see(Origin::System, library, found) {
                return Some(found);
            }
        }
        if !seen.passed.iter().any(|it| it.origin == Origin::System) {
            let path = self.system.first().cloned().unwrap_or_else(|| "/usr/lib".into());
            seen.passed.push(Candidate { origin: Origin::System, path, refused: Refusal::Missing });
        }
        None
    }

    /// Accepts the prefix, or notes why not. `trusted` are the owners it may have; `None` means any.
    fn offer(
        &self,
        origin: Origin,
        prefix: &Path,
        trusted: Option<&[u32]>,
        seen: &mut Seen<'_>,
    ) -> Option<Libdtrace> {
        // The worker may start in another directory, so the path must not be relative.
        let prefix = std::path::absolute(prefix).unwrap_or_else(|_| prefix.to_owned());
        let found = self.examine_prefix(origin, &prefix, trusted);
        seen.see(origin, prefix, found)
    }

    fn examine_prefix(
        &self,
        origin: Origin,
        prefix: &Path,
        trusted: Option<&[u32]>,
    ) -> Result<Libdtrace, Refusal> {
        let directory = prefix::library_directory(prefix)?.ok_or(Refusal::Missing)?;
        let library = directory.join(SONAME);
        require_path(&library)?;
        if let Some(trusted) = trusted {
            for path in [prefix, &directory, &library] {
                require_trust(path, trusted)?;
            }
        }
        let version = examine(&library)?;
        let syslibdir = d_libraries_beside(&directory);
        let loader = self.loader(&directory)?;
        if let (Some(trusted), Some(loader)) = (trusted, &loader) {
            require_trust(&loader.ld_so, trusted)?;
        }
        Ok(found(library, syslibdir, loader, origin, version))
    }

    /// Returns the dynamic loader of a prefix with its own C library. A prefix without one
    /// (`/usr/local`, `/opt/dtrace`) uses the system's.
    fn loader(&self, directory: &Path) -> Result<Option<Loader>, Refusal> {
        let of_system = self.system.iter().any(|it| same_file(it, directory));
        if of_system || !prefix::has_c_library(directory) {
            return Ok(None);
        }
        let Some(ld_so) = prefix::find_loader(directory)? else { return Ok(None) };
        match path::unusable_in_library_path(directory) {
            Some(character) => Err(Refusal::UnusablePath(PathProblem::Character(character))),
            None => Ok(Some(Loader::of_prefix(ld_so, directory.to_owned(), &self.system))),
        }
    }
}

/// The places that a search has seen.
struct Seen<'a> {
    passed: Vec<Candidate>,
    admit: &'a mut dyn FnMut(&Libdtrace) -> Result<Standing, String>,
}

impl Seen<'_> {
    /// Returns what was found at a place, if it is admitted. Notes it as skipped otherwise.
    fn see(
        &mut self,
        origin: Origin,
        path: PathBuf,
        found: Result<Libdtrace, Refusal>,
    ) -> Option<Libdtrace> {
        let admitted = found.and_then(|found| match (self.admit)(&found) {
            Ok(standing) => Ok(Libdtrace { standing, ..found }),
            Err(why) => {
                let version = found.version.unwrap_or_else(|| "unknown".to_owned());
                Err(Refusal::NotAdmitted { version, why })
            }
        });
        admitted.map_err(|refused| self.passed.push(Candidate { origin, path, refused })).ok()
    }
}

/// Returns a libdtrace of a version that is not refused.
fn found(
    library: PathBuf,
    syslibdir: Option<PathBuf>,
    loader: Option<Loader>,
    origin: Origin,
    version: String,
) -> Libdtrace {
    let standing = standing(&version).unwrap_or(Standing::Unverified);
    Libdtrace { library, syslibdir, loader, origin, version: Some(version), standing }
}

/// Returns the libdtrace of a system that comes with its own version of it.
fn of_system(library: &Path) -> Result<Libdtrace, Refusal> {
    // That of macOS is no file.
    if !cfg!(target_os = "macos") && !library.exists() {
        return Err(Refusal::Missing);
    }
    Ok(Libdtrace {
        library: library.into(),
        syslibdir: None,
        loader: None,
        origin: Origin::System,
        // It says little: the versions of such systems are theirs.
        version: fs::read(library).ok().and_then(|bytes| find_version(&bytes)),
        standing: Standing::Unverified,
    })
}

/// Checks that the kernel can define uprobes on the library, if it exists.
fn require_path(library: &Path) -> Result<(), Refusal> {
    match path::unusable_in_uprobe(library) {
        Some(problem) if library.exists() => Err(Refusal::UnusablePath(problem)),
        _ => Ok(()),
    }
}

/// Returns the directory of the D libraries beside the libdtrace in `directory`.
fn d_libraries_beside(directory: &Path) -> Option<PathBuf> {
    Some(directory.join("dtrace")).filter(|it| it.is_dir())
}

#[cfg(test)]
mod tests;
