//! May this process load what is at a path?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Refusal;
use crate::prefix::Unreadable;

/// Checks that the path belongs to one of these users and that not everybody may write to it.
pub(super) fn require_trust(path: &Path, trusted: &[u32]) -> Result<(), Refusal> {
    const OTHERS_WRITE: u32 = 0o002;
    // The link itself counts too: whoever owns it decides what is loaded.
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
