//! Is a path trusted enough to load code from it?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Refusal;
use crate::prefix::Unreadable;

/// Checks that the path belongs to one of these users and is not world-writable.
pub(super) fn require_trust(path: &Path, trusted: &[u32]) -> Result<(), Refusal> {
    const OTHERS_WRITE: u32 = 0o002;
    // The link itself counts too, because its owner decides what is loaded.
    for metadata in [fs::symlink_metadata(path), fs::metadata(path)] {
        let metadata = metadata.map_err(|source| Unreadable { path: path.to_owned(), source })?;
        if !trusted.contains(&metadata.uid()) {
            return Err(Refusal::OwnedByOthers { path: path.to_owned(), owner: metadata.uid() });
        }
        if !metadata.is_symlink() && metadata.mode() & OTHERS_WRITE != 0 {
            return Err(Refusal::WritableByOthers { path: path.to_owned() });
        }
    }
    Ok(())
}
