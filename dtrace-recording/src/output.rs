//! How is a file written completely or not at all?

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

/// Writes to a temporary file beside `path`, and renames it when it is complete.
pub(crate) fn write<T>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut File) -> Result<T, String>,
) -> Result<T, String> {
    let name = path.display();
    let exists = || format!("cannot write {name}: it exists (use --force to overwrite it)");
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let unwritable = |cause: std::io::Error| format!("cannot write {name}: {cause}");
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // The umask applies, as for any new file.
    let permissions = Permissions::from_mode(0o666);
    let mut temporary = Builder::new()
        .prefix(".dtrace-recording-")
        .permissions(permissions)
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(unwritable)?;
    let result = write(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(unwritable)?;
    let renamed = match force {
        true => temporary.persist(path),
        false => temporary.persist_noclobber(path),
    };
    match renamed {
        Ok(_) => Ok(result),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
        Err(e) => Err(unwritable(e.error)),
    }
}
