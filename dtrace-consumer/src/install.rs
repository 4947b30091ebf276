//! How does a host without a suitable libdtrace get one, leaving the system as it is?
//!
//! libdtrace 2.0.7 needs a newer C library than stable distributions have. So [`Installer`] unpacks
//! it from Debian's packages into a directory of its own, the prefix, with the C library and the
//! dynamic loader that belong to it; a process started through that loader can use it
//! ([`locate`] tells how). The host's apt, dpkg and C library are not touched, and
//! no privilege is needed.
//!
//! What is unpacked was signed by the distribution: apt does the download with a state of its own,
//! the mirrors and proxies that the host is configured for, and the distribution's keyring.
//!
//! The prefix is built in a temporary directory beside it and renamed, so it is there as a whole or
//! not at all; of two installations at once the first one stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::locate;

#[path = "install/apt.rs"]
mod apt;
#[path = "install/error.rs"]
mod error;
#[path = "install/manifest.rs"]
mod manifest;

use apt::{Apt, Host};
pub use error::InstallError;
pub use manifest::{MANIFEST_NAME, Manifest, Package};

/// The packages that are asked for; apt adds what they depend on.
const LIBRARY: &str = "libdtrace2";
const PROGRAM: &str = "dtrace";

/// Dependencies that nothing here uses at run time: character sets and a copyright notice.
const UNUSED: &[&str] = &["libc-gconv-modules", "gcc-"];

/// A temporary directory older than this, three times what an installation may take, was left
/// behind by a process that was killed. Its process id tells nothing: containers may share the
/// directory.
const ABANDONED: Duration = Duration::from_secs(600);

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
    /// An installer of the library alone.
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
    /// [`InstallError`]; the prefix is then as it was before.
    pub fn install(&self, log: &mut dyn FnMut(&str)) -> Result<Installed, InstallError> {
        let prefix = std::path::absolute(&self.prefix)
            .map_err(|error| InstallError::io("resolve", &self.prefix, error))?;
        if let Some(manifest) = self.usable(&prefix) {
            log(&format!("{} is there already: {manifest}", prefix.display()));
            return Ok(Installed { prefix, manifest, fresh: false });
        }
        if !replaceable(&prefix)? {
            return Err(InstallError::NotOurs { prefix });
        }
        let host = Host::examine()?;
        let work = Workplace::beside(&prefix)?;
        let mut packages = vec![LIBRARY];
        packages.extend(self.with_dtrace_program.then_some(PROGRAM));
        let mut apt = Apt::new(&work.path, &host)?;
        let offer = apt.find(&packages, locate::SUPPORTED_VERSIONS, log)?;
        let wanted: Vec<Package> = offer
            .packages
            .into_iter()
            .filter(|package| !UNUSED.iter().any(|it| package.name.starts_with(it)))
            .collect();
        log(&format!("fetching {} packages from {}", wanted.len(), offer.suite));
        let unpacked = apt.unpack(&wanted)?;
        let root = work.path.join("prefix");
        let directory = select(&unpacked, &root, self.with_dtrace_program)?;
        let version = apt.check(&root.join(&directory))?;
        let manifest = Manifest {
            version,
            architecture: host.architecture,
            suite: format!("{} {}", host.vendor, offer.suite),
            installed: SystemTime::now(),
            directory,
            packages: wanted,
        };
        let path = root.join(MANIFEST_NAME);
        fs::write(&path, manifest.to_text())
            .map_err(|error| InstallError::io("write", &path, error))?;
        self.publish(&root, &prefix, manifest, log)
    }

    /// Gives the finished tree its name.
    fn publish(
        &self,
        root: &Path,
        prefix: &Path,
        manifest: Manifest,
        log: &mut dyn FnMut(&str),
    ) -> Result<Installed, InstallError> {
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

    /// The manifest of a prefix that has all that this installer would unpack.
    fn usable(&self, prefix: &Path) -> Option<Manifest> {
        let manifest = status(prefix).ok()?;
        (!self.with_dtrace_program || prefix.join("usr/sbin/dtrace").exists()).then_some(manifest)
    }
}

/// What a prefix holds, when [`Installer`] made it and it is whole and of a supported version.
///
/// # Errors
/// [`InstallError::NotInstalled`] without a manifest, [`InstallError::Damaged`] when what the
/// manifest promises is not there, [`InstallError::Io`] when it cannot be read.
pub fn status(prefix: &Path) -> Result<Manifest, InstallError> {
    let manifest = read_manifest(prefix)?;
    let directory = prefix.join(&manifest.directory);
    let damaged = |what: String| InstallError::Damaged { prefix: prefix.to_owned(), what };
    locate::examine(&directory.join(locate::SONAME))
        .map_err(|refused| damaged(format!("{} {refused}", locate::SONAME)))?;
    let loader = locate::find_loader(&directory).filter(|it| it.exists());
    if loader.is_none() || !directory.join("libc.so.6").exists() {
        return Err(damaged("its C library is missing".into()));
    }
    Ok(manifest)
}

/// Removes a prefix that [`Installer`] made.
///
/// # Errors
/// [`InstallError::NotInstalled`] when it carries no manifest: nothing is removed then.
/// [`InstallError::Io`] when it cannot be removed.
pub fn uninstall(prefix: &Path) -> Result<(), InstallError> {
    read_manifest(prefix)?;
    // Through a symbolic link, which stays: the user made it.
    let prefix =
        fs::canonicalize(prefix).map_err(|error| InstallError::io("resolve", prefix, error))?;
    remove(&prefix)
}

/// The prefix in the user's data directory: `$XDG_DATA_HOME/dtrace-consumer/libdtrace`, by default
/// below `~/.local/share`. `None` for a user without a home.
pub fn default_prefix() -> Option<PathBuf> {
    // The XDG specification has relative values ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("dtrace-consumer").join(locate::PREFIX_NAME))
}

fn read_manifest(prefix: &Path) -> Result<Manifest, InstallError> {
    let path = prefix.join(MANIFEST_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => Manifest::from_text(&text)
            .map_err(|what| InstallError::Damaged { prefix: prefix.to_owned(), what }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(InstallError::NotInstalled { prefix: prefix.to_owned() })
        }
        Err(error) => Err(InstallError::io("read", &path, error)),
    }
}

/// Nothing is there, or nothing in it, or a prefix of ours, whatever its state.
fn replaceable(prefix: &Path) -> Result<bool, InstallError> {
    match fs::read_dir(prefix) {
        Ok(mut entries) => Ok(entries.next().is_none() || prefix.join(MANIFEST_NAME).exists()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A dangling link is not ours to replace.
            Ok(fs::symlink_metadata(prefix).is_err())
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(InstallError::io("read", prefix, error)),
    }
}

/// Takes the name away first, so that no half of a prefix is ever found.
fn remove(prefix: &Path) -> Result<(), InstallError> {
    let work = Workplace::beside(prefix)?;
    fs::rename(prefix, work.path.join("removed"))
        .map_err(|error| InstallError::io("remove", prefix, error))
}

/// A temporary directory on the prefix's file system, removed when dropped.
struct Workplace {
    path: PathBuf,
}

impl Workplace {
    fn beside(prefix: &Path) -> Result<Workplace, InstallError> {
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "not a directory's name");
        let (Some(parent), Some(name)) = (prefix.parent(), prefix.file_name()) else {
            return Err(InstallError::io("create", prefix, no_name()));
        };
        fs::create_dir_all(parent).map_err(|error| InstallError::io("create", parent, error))?;
        let stem = format!(".{}.installing-", name.to_string_lossy());
        sweep(parent, &stem);
        let mut attempt = 0;
        loop {
            let path = parent.join(format!("{stem}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Workplace { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {
                    attempt += 1;
                }
                Err(error) => return Err(InstallError::io("create", &path, error)),
            }
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What is left is swept by the next installation.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sweep(parent: &Path, stem: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(stem);
        let age = entry.metadata().and_then(|it| it.modified()).map(|it| it.elapsed());
        if ours && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves what is used at run time from the unpacked packages into the prefix: the libraries, the D
/// libraries, the copyright notices and, when asked for, dtrace(1). Returns the libraries'
/// directory, relative to the prefix.
fn select(unpacked: &Path, root: &Path, with_program: bool) -> Result<PathBuf, InstallError> {
    let missing = |what: &str| InstallError::Incomplete { missing: vec![what.to_owned()] };
    let from = locate::library_directory(unpacked).ok_or_else(|| missing(locate::SONAME))?;
    let directory = from.strip_prefix(unpacked).unwrap_or(&from).to_owned();
    for (name, path) in entries(&from)? {
        if name.contains(".so.") || name.ends_with(".so") || name == "dtrace" {
            move_into(&path, &root.join(&directory).join(&name))?;
        }
    }
    for (name, path) in entries(&unpacked.join("usr/share/doc"))? {
        let notice = path.join("copyright");
        // A package may share another's directory by a link.
        if notice.is_file() && !path.is_symlink() {
            move_into(&notice, &root.join("usr/share/doc").join(name).join("copyright"))?;
        }
    }
    if with_program {
        let program = ["usr/sbin", "usr/bin"].map(|it| unpacked.join(it).join("dtrace"));
        let program = program.iter().find(|it| it.is_file()).ok_or_else(|| missing("dtrace"))?;
        move_into(program, &root.join("usr/sbin/dtrace"))?;
    }
    Ok(directory)
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, InstallError> {
    let entries = fs::read_dir(directory)
        .map_err(|error| InstallError::io("read", directory, error))?
        .flatten()
        .map(|it| (it.file_name().to_string_lossy().into_owned(), it.path()));
    Ok(entries.collect())
}

fn move_into(from: &Path, to: &Path) -> Result<(), InstallError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| InstallError::io("create", parent, error))?;
    }
    fs::rename(from, to).map_err(|error| InstallError::io("move", from, error))
}

#[cfg(test)]
#[path = "install/tests.rs"]
mod tests;
