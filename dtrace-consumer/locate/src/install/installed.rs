//! What does a prefix hold, and how is it removed?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::InstallError;
use super::manifest::{MANIFEST_NAME, Manifest};
use super::workplace::{Workplace, remove_empty};
use crate::locate;
use crate::prefix::{self, SONAME};

/// What [`uninstall`] removed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Removed {
    /// The prefix, with symbolic links resolved.
    pub prefix: PathBuf,
    /// What it held.
    pub manifest: Manifest,
    /// The directories above it that its installation created and that were empty.
    pub parents: Vec<PathBuf>,
}

/// Returns what a prefix holds, if [`Installer`](super::Installer) made it and it is complete and has a
/// supported version.
///
/// # Errors
/// [`InstallError::NotInstalled`] without a manifest, [`InstallError::Damaged`] if something that
/// the manifest lists is missing, [`InstallError::Io`] if it cannot be read.
pub fn status(prefix: &Path) -> Result<Manifest, InstallError> {
    let manifest = read_manifest(prefix)?;
    let directory = prefix.join(&manifest.directory);
    let damaged = |what: String| InstallError::Damaged { prefix: prefix.to_owned(), what };
    locate::examine(&directory.join(SONAME))
        .map_err(|refused| damaged(format!("{SONAME}: {refused}")))?;
    let loader = prefix::find_loader(&directory)?.filter(|it| it.exists());
    if loader.is_none() || !prefix::has_c_library(&directory) {
        return Err(damaged("its C library is missing".into()));
    }
    Ok(manifest)
}

/// Removes a prefix that [`Installer`](super::Installer) made, and those directories created for it
/// that are empty afterwards.
///
/// # Errors
/// [`InstallError::NotInstalled`] if it has no manifest; nothing is removed then.
/// [`InstallError::Io`] if it cannot be removed.
pub fn uninstall(prefix: &Path) -> Result<Removed, InstallError> {
    let manifest = read_manifest(prefix)?;
    // A symbolic link to the prefix stays, because the user made it.
    let prefix =
        fs::canonicalize(prefix).map_err(|error| InstallError::io("resolve", prefix, error))?;
    remove(&prefix)?;
    let parents = remove_empty(&prefix, &manifest.parents);
    Ok(Removed { prefix, manifest, parents })
}

pub(super) fn read_manifest(prefix: &Path) -> Result<Manifest, InstallError> {
    let path = prefix.join(MANIFEST_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => Manifest::from_text(&text)
            .map_err(|what| InstallError::Damaged { prefix: prefix.to_owned(), what }),
        Err(error) if prefix::is_missing(&error) => {
            Err(InstallError::NotInstalled { prefix: prefix.to_owned() })
        }
        Err(error) => Err(InstallError::io("read", &path, error)),
    }
}

/// Whether the prefix is missing, an empty directory, or made by an installer, whatever its state.
pub(super) fn replaceable(prefix: &Path) -> Result<bool, InstallError> {
    match fs::read_dir(prefix) {
        Ok(mut entries) => Ok(entries.next().is_none() || prefix.join(MANIFEST_NAME).exists()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A dangling link belongs to the user.
            Ok(fs::symlink_metadata(prefix).is_err())
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(InstallError::io("read", prefix, error)),
    }
}

/// Removes a prefix. Renames it first, so that nobody ever finds half a prefix.
pub(super) fn remove(prefix: &Path) -> Result<(), InstallError> {
    let work = Workplace::beside(prefix)?;
    fs::rename(prefix, work.path().join("removed"))
        .map_err(|error| InstallError::io("remove", prefix, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Makes a prefix that has only its manifest, which names these directories as created for it.
    fn prefix(path: &Path, parents: &[&Path]) {
        let manifest = Manifest {
            version: "2.0.7".into(),
            architecture: "amd64".into(),
            suite: "Debian forky".into(),
            directory: "usr/lib/some-triplet".into(),
            parents: parents.iter().map(|it| it.to_path_buf()).collect(),
            packages: Vec::new(),
        };
        fs::create_dir_all(path).expect("a directory");
        fs::write(path.join(MANIFEST_NAME), manifest.to_text()).expect("a manifest");
    }

    #[test]
    fn a_prefix_that_lost_its_library_is_damaged_and_can_be_removed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("prefix");
        prefix(&path, &[]);
        let damaged = status(&path);
        assert!(matches!(damaged, Err(InstallError::Damaged { .. })), "{damaged:?}");
        uninstall(&path).expect("it has a manifest");
        let left = fs::read_dir(directory.path()).expect("the parent").count();
        assert_eq!(left, 0, "nothing is left behind");
    }

    #[test]
    fn something_else_is_not_removed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("precious");
        fs::write(&file, "data").expect("a file");
        let removed = uninstall(directory.path());
        assert!(matches!(removed, Err(InstallError::NotInstalled { .. })), "{removed:?}");
        let removed = uninstall(&file);
        assert!(matches!(removed, Err(InstallError::NotInstalled { .. })), "{removed:?}");
        assert!(file.exists());
    }

    #[test]
    fn empty_directories_that_the_installation_created_are_removed_and_no_others() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let top = fs::canonicalize(directory.path()).expect("a path");
        let [made, outer, inner] =
            ["made", "made/outer", "made/outer/inner"].map(|it| top.join(it));
        let path = inner.join("libdtrace");
        prefix(&path, &[&inner, &outer, &top.join("elsewhere")]);
        fs::create_dir(top.join("elsewhere")).expect("a directory");
        let removed = uninstall(&path).expect("removed");
        assert_eq!(removed.parents, [inner.clone(), outer.clone()]);
        assert!(made.exists() && !outer.exists() && top.join("elsewhere").exists());

        prefix(&path, &[&inner, &outer]);
        fs::write(outer.join("precious"), "data").expect("a file");
        assert_eq!(uninstall(&path).expect("removed").parents, [inner]);
        assert!(outer.join("precious").exists());
    }

    #[test]
    fn through_a_link_the_prefix_is_removed_and_the_link_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let top = fs::canonicalize(directory.path()).expect("a path");
        let (path, link) = (top.join("prefix"), top.join("link"));
        prefix(&path, &[]);
        symlink(&path, &link).expect("a link");
        assert_eq!(uninstall(&link).expect("removed").prefix, path);
        assert!(!path.exists() && link.is_symlink());
    }
}
