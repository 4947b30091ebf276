//! How is a private libdtrace unpacked?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::error::InstallError;
use super::host::Host;
use super::installed::{read_manifest, remove, replaceable, status};
use super::manifest::{MANIFEST_NAME, Manifest, Package};
use super::place::supported;
use super::select::{PROGRAM_PATH, check, select};
use super::workplace::Workplace;
use crate::locate::{self, Standing};

/// The packages to install; apt adds their dependencies.
const LIBRARY: &str = "libdtrace2";
const PROGRAM: &str = "dtrace";

/// The versions to install, best first. One that a self-check has to admit is better than none.
pub(super) const ACCEPTED: &[fn(&str) -> bool] = &[
    |version| locate::standing(version) == Some(Standing::Known),
    |version| locate::standing(version) == Some(Standing::Unverified),
];

/// Dependencies that are not used at run time: character sets and a copyright notice.
const UNUSED: &[&str] = &["libc-gconv-modules", "gcc-"];

/// Unpacks a private libdtrace.
#[derive(Debug, Clone)]
pub struct Installer {
    /// The directory to create.
    pub prefix: PathBuf,
    /// Whether to unpack the dtrace(1) program too, as `usr/sbin/dtrace`.
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
    /// Whether it was unpacked by this call; otherwise a suitable one existed already.
    pub fresh: bool,
}

impl Installer {
    /// Returns an installer of the library alone.
    pub fn new(prefix: impl Into<PathBuf>) -> Installer {
        Installer { prefix: prefix.into(), with_dtrace_program: false }
    }

    /// Ensures that the prefix holds a usable libdtrace. A usable one stays as it is; an outdated or
    /// damaged one is replaced. `log` receives one line for each step.
    ///
    /// Takes some seconds, and downloads about 8 MB of packages and 10 MB of their index. Gives up after
    /// three minutes.
    ///
    /// # Errors
    /// [`InstallError`]. The prefix and the directories above it are then unchanged.
    pub fn install(&self, log: &mut dyn FnMut(&str)) -> Result<Installed, InstallError> {
        let prefix = supported(&self.prefix)?;
        if let Some(manifest) = self.usable(&prefix) {
            log(&format!("{} already has {manifest}", prefix.display()));
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

    /// Builds the tree in the temporary directory; returns its path.
    fn build(
        &self,
        host: &Host,
        work: &Workplace,
        log: &mut dyn FnMut(&str),
    ) -> Result<(PathBuf, Manifest), InstallError> {
        let mut packages = vec![LIBRARY];
        packages.extend(self.with_dtrace_program.then_some(PROGRAM));
        let mut apt = Apt::new(work.path(), host)?;
        let offer = apt.find(&packages, ACCEPTED, log)?;
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
        if locate::standing(&version) == Some(Standing::Unverified) {
            log(&format!(
                "libdtrace {version} is not a known version: the first session checks it (or `dtrace-worker verify`)"
            ));
        }
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

    /// Writes the manifest and renames the finished tree to the prefix.
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
        // rename(2) replaces only an empty directory, so nothing can be lost here. A second attempt
        // is needed if an old prefix had to be removed.
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
                log(&format!("another process has installed {}", prefix.display()));
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

    /// Returns the manifest of a prefix that has everything this installer would unpack.
    fn usable(&self, prefix: &Path) -> Option<Manifest> {
        let manifest = status(prefix).ok()?;
        (!self.with_dtrace_program || prefix.join(PROGRAM_PATH).exists()).then_some(manifest)
    }
}

#[cfg(test)]
mod tests;
