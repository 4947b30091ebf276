//! Where is a prefix built before it is renamed to its final path?

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::InstallError;

/// A temporary directory that is older than this was left behind by a killed process: it is more than
/// three times the limit of an installation. The process id in its name proves nothing, because
/// containers may share the directory.
const ABANDONED: Duration = Duration::from_secs(600);

/// How often to try to create a directory while others create and remove it.
const ATTEMPTS: u32 = 1000;

/// A temporary directory on the prefix's file system. Dropping it removes it, and those directories
/// above it that were created for it and are empty by then.
pub(super) struct Workplace {
    prefix: PathBuf,
    path: Option<PathBuf>,
    parents: Vec<PathBuf>,
}

impl Workplace {
    pub(super) fn beside(prefix: &Path) -> Result<Workplace, InstallError> {
        let no_name = || io::Error::new(ErrorKind::InvalidInput, "not a directory's name");
        let (Some(parent), Some(name)) = (prefix.parent(), prefix.file_name()) else {
            return Err(InstallError::io("create", prefix, no_name()));
        };
        let missing = parent.ancestors().take_while(|it| !it.exists());
        let parents = missing.map(Path::to_owned).collect();
        // From here on, everything that is created is removed again, also after an error.
        let mut work = Workplace { prefix: prefix.to_owned(), path: None, parents };
        let stem = format!(".{}.installing-", name.to_string_lossy());
        for attempt in 0..ATTEMPTS {
            // Repeated each time, because another process may remove the empty directory when it ends.
            fs::create_dir_all(parent)
                .map_err(|error| InstallError::io("create", parent, error))?;
            let path = parent.join(format!("{stem}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    work.path = Some(path);
                    sweep(parent, &stem);
                    return Ok(work);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
                Err(error) => return Err(InstallError::io("create", &path, error)),
            }
        }
        let busy = io::Error::new(
            ErrorKind::ResourceBusy,
            "other processes keep creating and removing it",
        );
        Err(InstallError::io("create a directory in", parent, busy))
    }

    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(&self.prefix)
    }

    /// Returns the canonical paths of the directories that were created for it, innermost first.
    pub(super) fn created_parents(&self) -> Vec<PathBuf> {
        self.parents.iter().filter_map(|it| fs::canonicalize(it).ok()).collect()
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The next installation sweeps what remains.
            let _ = fs::remove_dir_all(path);
        }
        remove_empty(&self.prefix, &self.parents);
    }
}

/// Removes the directories that are empty and above the path; returns them, innermost first.
pub(super) fn remove_empty(path: &Path, directories: &[PathBuf]) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1).filter(|it| directories.iter().any(|other| other == it));
    // rmdir(2) removes only empty directories.
    above.filter(|it| fs::remove_dir(it).is_ok()).map(Path::to_owned).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_killed_installation_left_is_swept_and_a_running_one_is_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let prefix = directory.path().join("prefix");
        let [old, new] =
            ["old", "new"].map(|it| directory.path().join(format!(".prefix.installing-{it}")));
        for path in [&old, &new] {
            fs::create_dir(path).expect("a directory");
        }
        let file = fs::File::open(&old).expect("open");
        file.set_modified(SystemTime::now() - 2 * ABANDONED).expect("a time");
        let work = Workplace::beside(&prefix).expect("a workplace");
        assert!(work.path().exists() && new.exists() && !old.exists());
        let path = work.path().to_owned();
        drop(work);
        assert!(!path.exists());
    }

    #[test]
    fn directories_above_are_removed_unless_something_was_put_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let outer = fs::canonicalize(directory.path()).expect("a path").join("outer");
        let prefix = outer.join("inner/prefix");
        let work = Workplace::beside(&prefix).expect("a workplace");
        assert_eq!(work.created_parents(), [outer.join("inner"), outer.clone()]);
        drop(work);
        assert!(!outer.exists() && directory.path().exists());

        let work = Workplace::beside(&prefix).expect("a workplace");
        fs::create_dir(&prefix).expect("a directory");
        drop(work);
        assert!(prefix.exists());
    }
}
