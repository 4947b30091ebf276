//! How is a file written completely or not at all?

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempPath};

/// Writes to a temporary file beside `path`, and renames it when it is complete.
pub(crate) fn write<T>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut File) -> Result<T, String>,
) -> Result<T, String> {
    let target = Target::new(path, force)?;
    let mut temporary = target.temporary()?;
    let result = write(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(|cause| target.unwritable(&cause))?;
    target.keep(temporary.into_temp_path()).map_err(|unnamed| unnamed.reason)?;
    Ok(result)
}

/// A complete file that could not be given its name. It is removed unless it is [rescued](Unnamed::rescue).
pub(crate) struct Unnamed {
    reason: String,
    /// Only a recording of a live session cannot be made again.
    #[cfg_attr(not(feature = "live"), expect(dead_code))]
    temporary: TempPath,
}

impl Unnamed {
    /// Leaves the file where it is. Returns why it does not have its name, and where it is.
    #[cfg(feature = "live")]
    pub(crate) fn rescue(self) -> String {
        let Unnamed { reason, temporary } = self;
        match temporary.keep() {
            Ok(path) => {
                // Without the `.` of the current directory.
                let path = path.components().collect::<std::path::PathBuf>();
                format!("{reason}\nthe recording is in {} (rename it)", path.display())
            }
            Err(failed) => format!("{reason}\nthe recording is lost: {}", failed.error),
        }
    }
}

/// A file to write.
pub(crate) struct Target<'p> {
    path: &'p Path,
    force: bool,
}

impl<'p> Target<'p> {
    /// Fails if the file exists and must not or cannot be overwritten.
    pub(crate) fn new(path: &'p Path, force: bool) -> Result<Target<'p>, String> {
        let target = Target { path, force };
        match path.symlink_metadata() {
            Ok(_) if !force => Err(target.exists()),
            Ok(known) if known.is_dir() => {
                Err(target.unwritable(&io::ErrorKind::IsADirectory.into()))
            }
            _ => Ok(target),
        }
    }

    /// Creates an empty file beside it, which is removed unless it is [kept](Target::keep).
    pub(crate) fn temporary(&self) -> Result<NamedTempFile, String> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // The umask applies, as for any new file.
        let permissions = Permissions::from_mode(0o666);
        Builder::new()
            .prefix(".dtrace-recording-")
            .permissions(permissions)
            .tempfile_in(directory.unwrap_or(Path::new(".")))
            .map_err(|cause| self.unwritable(&cause))
    }

    /// Gives the temporary file its name.
    pub(crate) fn keep(&self, temporary: TempPath) -> Result<(), Unnamed> {
        let renamed = match self.force {
            true => temporary.persist(self.path),
            false => temporary.persist_noclobber(self.path),
        };
        renamed.map_err(|failed| {
            let reason = match failed.error.kind() {
                io::ErrorKind::AlreadyExists => self.exists(),
                _ => self.unwritable(&failed.error),
            };
            Unnamed { reason, temporary: failed.path }
        })
    }

    fn exists(&self) -> String {
        let name = self.path.display();
        format!("cannot write {name}: it exists (use --force to overwrite it)")
    }

    fn unwritable(&self, cause: &io::Error) -> String {
        format!("cannot write {}: {cause}", self.path.display())
    }
}
