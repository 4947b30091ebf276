//! Can nobody but root change what is at a path?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The true path, without links, if it and every directory above it belong to root and nobody else may
/// write to them.
///
/// # Errors
/// Which one does not, in words.
pub(super) fn of_root(path: &Path) -> Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    real.ancestors().try_for_each(require)?;
    Ok(real)
}

/// As [`of_root`], also for everything in the directory.
pub(super) fn tree_of_root(directory: &Path) -> Result<PathBuf, String> {
    let real = of_root(directory)?;
    let mut pending = vec![real.clone()];
    while let Some(directory) = pending.pop() {
        let complaint = |e| format!("{}: {e}", directory.display());
        for entry in fs::read_dir(&directory).map_err(complaint)? {
            let path = entry.map_err(complaint)?.path();
            if path.is_symlink() {
                // One that leads nowhere leads to nothing that is loaded.
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
    // Whoever may write to a sticky directory can replace only what is his own.
    const STICKY: u32 = 0o1000;
    let metadata = fs::symlink_metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sticky = metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.uid() != 0 {
        return Err(format!("{} belongs to user {}, not to root", path.display(), metadata.uid()));
    }
    if metadata.mode() & OTHERS_WRITE != 0 && !sticky {
        return Err(format!("{} can be written by others than root", path.display()));
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
        fs::write(&file, "").expect("a file can be written");
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .expect("own");
        let result = of_root(&file);
        fs::remove_file(&file).expect("own");
        assert!(result.is_err(), "{result:?}");
    }
}
