//! How are the files of unpacked packages listed and moved?

use std::fs;
use std::path::{Path, PathBuf};

use super::error::InstallError;

/// Returns the names and paths of a directory's entries.
pub(super) fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, InstallError> {
    let entries = fs::read_dir(directory)
        .map_err(|error| InstallError::io("read", directory, error))?
        .flatten()
        .map(|it| (it.file_name().to_string_lossy().into_owned(), it.path()));
    Ok(entries.collect())
}

/// Renames a file; creates the directories above its new path.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<(), InstallError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| InstallError::io("create", parent, error))?;
    }
    fs::rename(from, to).map_err(|error| InstallError::io("move", from, error))
}
