//! Where are verdicts kept, and when is one trusted?
//!
//! Each verdict is a file in a directory. Both must belong to the user who runs this process, or to root, and nobody
//! else may be able to write to them. Anything else is ignored, as if it were not there.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dtrace_locate::xdg_directory;

use super::subject::{Subject, Verdict};
use super::text;

/// The directory of the verdicts that elevated workers trust. Only root writes to it.
pub(crate) const SYSTEM_DIRECTORY: &str = if cfg!(any(target_os = "freebsd", target_os = "macos")) {
    "/var/db/dtrace-worker/verdicts"
} else {
    "/var/lib/dtrace-worker/verdicts"
};

/// A longer file is not a verdict.
const MOST_BYTES: u64 = 16 << 10;

const OTHERS_WRITE: u32 = 0o022;

/// A directory of verdicts.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    directory: PathBuf,
    /// The permissions with which directories are created.
    mode: u32,
}

impl Store {
    /// Returns the store of this process's user; `None` for a user without a home directory.
    pub(crate) fn of_user() -> Option<Store> {
        Store::of(nix::unistd::geteuid().is_root())
    }

    /// Root uses the system's store: the environment may name the home directory of the user who ran sudo.
    fn of(is_root: bool) -> Option<Store> {
        if is_root {
            return Some(Store::of_system());
        }
        user_directory().map(|directory| Store { directory, mode: 0o700 })
    }

    /// Returns the store that elevated workers trust. Whoever reads it as root must also check the directories above.
    pub(crate) fn of_system() -> Store {
        Store { directory: SYSTEM_DIRECTORY.into(), mode: 0o755 }
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the verdict on a subject, if there is one that is trusted.
    pub(crate) fn read(&self, subject: &Subject) -> Option<Verdict> {
        require_own(&fs::symlink_metadata(&self.directory).ok()?).ok()?;
        let path = self.directory.join(subject.file_name());
        // A FIFO would never open.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        require_own(&metadata).ok()?;
        let mut content = String::new();
        file.take(MOST_BYTES).read_to_string(&mut content).ok()?;
        text::parse(&content, subject).filter(|_| metadata.is_file())
    }

    /// Writes a verdict.
    ///
    /// # Errors
    /// The system's error, or why the directory is not trusted.
    pub(crate) fn write(&self, subject: &Subject, verdict: &Verdict) -> io::Result<()> {
        require_own_ancestor(&self.directory)?;
        DirBuilder::new().recursive(true).mode(self.mode).create(&self.directory)?;
        require_own(&fs::symlink_metadata(&self.directory)?)?;
        let name = subject.file_name();
        // Readers see the old file or the new one, but never half of one.
        let partial = self.directory.join(format!(".{name}.{}", std::process::id()));
        let _ = fs::remove_file(&partial);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode & 0o666)
            .open(&partial)
            .and_then(|mut file: File| file.write_all(text::format(subject, verdict).as_bytes()))
            .and_then(|()| fs::rename(&partial, self.directory.join(name)));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&partial);
        })
    }
}

/// Returns the directory of this user's verdicts; `None` for a user without a home directory.
fn user_directory() -> Option<PathBuf> {
    let caches = xdg_directory("XDG_CACHE_HOME", ".cache")?;
    Some(caches.join("dtrace-consumer").join("verdicts"))
}

/// Fails unless only the user of this process, or root, can change the file or directory.
fn require_own(metadata: &Metadata) -> io::Result<()> {
    let user = nix::unistd::geteuid().as_raw();
    match objection(user, metadata.uid(), metadata.mode()) {
        None => Ok(()),
        Some(why) => Err(io::Error::other(why)),
    }
}

/// Fails unless the nearest directory that exists belongs to the user of this process. Otherwise directories would be
/// created in another user's home, or where another user's link leads.
fn require_own_ancestor(directory: &Path) -> io::Result<()> {
    let user = nix::unistd::geteuid().as_raw();
    for ancestor in directory.ancestors() {
        let metadata = match fs::symlink_metadata(ancestor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        // Whether others can write there is checked of the directory itself.
        return match objection(user, metadata.uid(), metadata.mode() & !OTHERS_WRITE) {
            None if metadata.uid() == user => Ok(()),
            None => Err(io::Error::other(format!("{} belongs to root", ancestor.display()))),
            Some(why) => Err(io::Error::other(format!("{}: {why}", ancestor.display()))),
        };
    }
    Ok(())
}

/// Returns why a file or directory with this owner and mode is not trusted by `user`.
fn objection(user: u32, owner: u32, mode: u32) -> Option<String> {
    const LINK: u32 = 0o120_000;
    const KIND: u32 = 0o170_000;
    if owner != user && owner != 0 {
        return Some(format!("it belongs to user {owner}"));
    }
    if mode & KIND == LINK {
        return Some("it is a symbolic link".to_owned());
    }
    (mode & OTHERS_WRITE != 0).then(|| "other users can write to it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn store(directory: &Path) -> Store {
        Store { directory: directory.join("verdicts"), mode: 0o700 }
    }

    fn subject() -> Subject {
        Subject::of_build("ab12".to_owned()).expect("a plain name")
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_verdict_that_others_can_change_is_ignored() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, subject) = (store(directory.path()), subject());
        assert_eq!(store.read(&subject), None);
        store.write(&subject, &Verdict::Matches).expect("it is writable");
        assert_eq!(store.read(&subject), Some(Verdict::Matches));
        let file = store.directory().join(subject.file_name());
        for path in [&file, store.directory()] {
            let kept = fs::metadata(path).expect("it exists").permissions();
            for more in [0o020, 0o002] {
                let mode = kept.mode() | more;
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own");
                assert_eq!(store.read(&subject), None, "{mode:o} {}", path.display());
            }
            fs::set_permissions(path, kept).expect("own");
            assert_eq!(store.read(&subject), Some(Verdict::Matches));
        }
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&file, &elsewhere).expect("own");
        symlink(&elsewhere, &file).expect("a link");
        assert_eq!(store.read(&subject), None, "a link");
    }

    #[test]
    fn only_what_the_user_or_root_owns_alone_is_trusted() {
        for (owner, mode) in [(7, 0o100_600), (7, 0o040_755), (0, 0o100_644)] {
            assert_eq!(objection(7, owner, mode), None, "{owner} {mode:o}");
        }
        for (owner, mode) in
            [(8, 0o100_600), (7, 0o100_620), (7, 0o040_702), (0, 0o041_777), (7, 0o120_700)]
        {
            assert!(objection(7, owner, mode).is_some(), "{owner} {mode:o}");
        }
        // Root trusts nobody else.
        assert!(objection(0, 7, 0o100_600).is_some());
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_damaged_or_endless_file_is_ignored_and_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, subject) = (store(directory.path()), subject());
        store.write(&subject, &Verdict::Matches).expect("it is writable");
        let file = store.directory().join(subject.file_name());
        let whole = fs::read(&file).expect("it exists");
        let long = [&whole[..], &vec![b'x'; 1 << 20]].concat();
        for content in [&b""[..], b"\xff\xfe", &whole[..whole.len() - 1], &long] {
            fs::write(&file, content).expect("own");
            assert_eq!(store.read(&subject), None);
        }
        let differs = Verdict::Differs("a firing".to_owned());
        store.write(&subject, &differs).expect("it is writable");
        assert_eq!(store.read(&subject), Some(differs));
        assert_eq!(fs::read_dir(store.directory()).expect("it exists").count(), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn nothing_is_created_behind_a_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("cache");
        symlink(elsewhere.path(), &link).expect("a link");
        let error = store(&link.join("dtrace-consumer")).write(&subject(), &Verdict::Matches);
        // The link itself is the nearest that exists, and so is what it leads to.
        assert!(error.expect_err("a link").to_string().contains("symbolic link"));
        assert_eq!(fs::read_dir(elsewhere.path()).expect("it exists").count(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn nothing_is_created_in_the_directory_of_another_user() {
        let directory = tempfile::tempdir().expect("a directory");
        // Root may give its directory away. Others have no directory of root to write to.
        let parent = match nix::unistd::geteuid().is_root() {
            true => {
                std::os::unix::fs::chown(directory.path(), Some(65534), None).expect("root may");
                directory.path()
            }
            false => Path::new("/"),
        };
        let store = store(&parent.join("dtrace-consumer"));
        let error = store.write(&subject(), &Verdict::Matches).expect_err("another user's");
        assert!(error.to_string().contains("belongs to"), "{error}");
        assert!(!store.directory().exists() && !parent.join("dtrace-consumer").exists());
    }

    #[test]
    fn root_uses_the_store_of_the_system_whatever_the_environment_names() {
        let store = Store::of(true).expect("root has one");
        assert_eq!(store.directory(), Store::of_system().directory());
        let own = Store::of(false);
        assert!(own.is_none_or(|own| own.directory() != store.directory()));
    }

    #[test]
    fn an_unusual_name_is_no_subject() {
        for build in ["", "../x", "a/b", "a\nb", "a b"] {
            assert_eq!(Subject::of_build(build.to_owned()), None, "{build}");
        }
    }
}
