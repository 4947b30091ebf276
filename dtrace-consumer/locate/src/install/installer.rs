//! How is a private libdtrace unpacked?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::error::InstallError;
use super::host::Host;
use super::installed::{read_manifest, remove, replaceable, status};
use super::manifest::{MANIFEST_NAME, Manifest, Package};
use super::select::{PROGRAM_PATH, check, select};
use super::workplace::Workplace;
use crate::locate;
use crate::path;

/// The packages that are asked for; apt adds what they depend on.
const LIBRARY: &str = "libdtrace2";
const PROGRAM: &str = "dtrace";

/// Dependencies that nothing here uses at run time: character sets and a copyright notice.
const UNUSED: &[&str] = &["libc-gconv-modules", "gcc-"];

/// Unpacks a private libdtrace.
#[derive(Debug, Clone)]
pub struct Installer {
    /// The directory to create.
    pub prefix: PathBuf,
    /// Also unpack the dtrace(1) program, as `usr/sbin/dtrace`.
    pub with_dtrace_program: bool,
}

/// What [`Installer::install`] did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Installed {
    /// The prefix, as an absolute path.
    pub prefix: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// It was unpacked now; otherwise a suitable one was there already.
    pub fresh: bool,
}

impl Installer {
    /// Returns an installer of the library alone.
    pub fn new(prefix: impl Into<PathBuf>) -> Installer {
        Installer { prefix: prefix.into(), with_dtrace_program: false }
    }

    /// Makes sure that the prefix holds a usable libdtrace. One that is there already stays; an
    /// outdated or damaged one is replaced. `log` is given one line for each step.
    ///
    /// Takes some seconds and about 8 MB of packages and 10 MB of their index; gives up after three
    /// minutes.
    ///
    /// # Errors
    /// [`InstallError`]; the prefix and the directories above it are then as they were before.
    pub fn install(&self, log: &mut dyn FnMut(&str)) -> Result<Installed, InstallError> {
        let prefix = std::path::absolute(&self.prefix)
            .map_err(|error| InstallError::io("resolve", &self.prefix, error))?;
        if let Some(character) = path::unusable_in_prefix(&prefix) {
            return Err(InstallError::UnusablePath { prefix, character });
        }
        if let Some(manifest) = self.usable(&prefix) {
            log(&format!("{} is there already: {manifest}", prefix.display()));
            return Ok(Installed { prefix, manifest, fresh: false });
        }
        if !replaceable(&prefix)? {
            return Err(InstallError::NotOurs { prefix });
        }
        let host = Host::examine()?;
        let work = Workplace::beside(&prefix)?;
        let (root, manifest) = self.build(&host, &work, log)?;
        self.publish(&root, &prefix, manifest, log)
    }

    /// Makes the finished tree in the workplace; returns its path.
    fn build(
        &self,
        host: &Host,
        work: &Workplace,
        log: &mut dyn FnMut(&str),
    ) -> Result<(PathBuf, Manifest), InstallError> {
        let mut packages = vec![LIBRARY];
        packages.extend(self.with_dtrace_program.then_some(PROGRAM));
        let mut apt = Apt::new(work.path(), host)?;
        let offer = apt.find(&packages, locate::SUPPORTED_VERSIONS, log)?;
        let wanted: Vec<Package> = offer
            .packages
            .into_iter()
            .filter(|package| !UNUSED.iter().any(|it| package.name.starts_with(it)))
            .collect();
        log(&format!("fetching {} packages from {}", wanted.len(), offer.suite));
        let unpacked = apt.unpack(&wanted)?;
        let root = work.path().join("prefix");
        let directory = select(&unpacked, &root, self.with_dtrace_program)?;
        let version = check(&host.programs, &root.join(&directory))?;
        let manifest = Manifest {
            version,
            architecture: host.architecture.clone(),
            suite: format!("{} {}", host.vendor, offer.suite),
            directory,
            parents: work.created_parents(),
            packages: wanted,
        };
        Ok((root, manifest))
    }

    /// Writes the manifest and gives the finished tree its name.
    fn publish(
        &self,
        root: &Path,
        prefix: &Path,
        mut manifest: Manifest,
        log: &mut dyn FnMut(&str),
    ) -> Result<Installed, InstallError> {
        // An earlier installation may have created them.
        if let Ok(replaced) = read_manifest(prefix) {
            manifest.parents.extend(replaced.parents);
        }
        let path = root.join(MANIFEST_NAME);
        fs::write(&path, manifest.to_text())
            .map_err(|error| InstallError::io("write", &path, error))?;
        // rename(2) replaces an empty directory and no other, so nothing can be lost here; a
        // second attempt is needed when an old one has to make room.
        for _ in 0..2 {
            match fs::rename(root, prefix) {
                Ok(()) => {
                    log(&format!("unpacked {manifest} into {}", prefix.display()));
                    return Ok(Installed { prefix: prefix.to_owned(), manifest, fresh: true });
                }
                Err(error) if fs::symlink_metadata(prefix).is_err() => {
                    return Err(InstallError::io("create", prefix, error));
                }
                Err(_) => {}
            }
            if let Some(manifest) = self.usable(prefix) {
                log(&format!("{} was installed meanwhile", prefix.display()));
                return Ok(Installed { prefix: prefix.to_owned(), manifest, fresh: false });
            }
            if !replaceable(prefix)? {
                break;
            }
            match remove(prefix) {
                Err(InstallError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Err(InstallError::NotOurs { prefix: prefix.to_owned() })
    }

    /// Returns the manifest of a prefix that has all that this installer would unpack.
    fn usable(&self, prefix: &Path) -> Option<Manifest> {
        let manifest = status(prefix).ok()?;
        (!self.with_dtrace_program || prefix.join(PROGRAM_PATH).exists()).then_some(manifest)
    }
}

#[cfg(test)]
mod tests;
