//! Can only root change what is at a path?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the canonical path, if it and every directory above it belong to root and nobody else may write to
/// them.
///
/// # Errors
/// Describes the first path that fails the check.
pub(super) fn of_root(path: &Path) -> Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    real.ancestors().try_for_each(require)?;
    Ok(real)
}

/// Checks the directory like [`of_root`], and everything in it.
pub(super) fn tree_of_root(directory: &Path) -> Result<PathBuf, String> {
    let real = of_root(directory)?;
    let mut pending = vec![real.clone()];
    while let Some(directory) = pending.pop() {
        let complaint = |e| format!("{}: {e}", directory.display());
        for entry in fs::read_dir(&directory).map_err(complaint)? {
            let path = entry.map_err(complaint)?.path();
            if path.is_symlink() {
                // A dangling link loads nothing.
                if path.exists() {
                    of_root(&path)?;
                }
                continue;
            }
            require(&path)?;
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    Ok(real)
}

fn require(path: &Path) -> Result<(), String> {
    const OTHERS_WRITE: u32 = 0o022;
    // In a sticky directory, users can replace only their own files.
    const STICKY: u32 = 0o1000;
    let metadata = fs::symlink_metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sticky = metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.uid() != 0 {
        return Err(format!(
            "{} belongs to user {} instead of root",
            path.display(),
            metadata.uid()
        ));
    }
    if metadata.mode() & OTHERS_WRITE != 0 && !sticky {
        return Err(format!("{} is writable by users other than root", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn what_others_can_change_is_not_trusted() {
        assert_eq!(
            of_root(Path::new("/usr/bin/env")),
            Path::new("/usr/bin/env").canonicalize().map_err(|e| e.to_string())
        );
        assert!(of_root(Path::new("/nowhere/at/all")).is_err());
        let file = std::env::temp_dir().join(format!("dtrace-trust-{}", std::process::id()));
        fs::write(&file, "").expect("writing a file");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .expect("own");
        let result = of_root(&file);
        fs::remove_file(&file).expect("own");
        assert!(result.is_err(), "{result:?}");
    }
}
