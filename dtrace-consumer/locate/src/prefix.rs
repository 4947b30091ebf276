//! Where is a private libdtrace, and where are the files in it?

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The directory name of a private prefix beside a program or under `target`.
pub const PREFIX_NAME: &str = "libdtrace";

/// libdtrace's soname on Linux.
pub(crate) const SONAME: &str = "libdtrace.so.2";

/// A file or directory that exists but could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Returns the prefix in the user's data directory: `$XDG_DATA_HOME/dtrace-consumer/libdtrace`, by
/// default below `~/.local/share`. `None` for a user without a home directory.
pub fn default_prefix() -> Option<PathBuf> {
    let data = xdg_directory("XDG_DATA_HOME", ".local/share")?;
    Some(data.join("dtrace-consumer").join(PREFIX_NAME))
}

/// Returns the directory that a variable of the XDG specification names, by default `default` below the home
/// directory. `None` for a user without a home directory.
pub fn xdg_directory(variable: &str, default: &str) -> Option<PathBuf> {
    // The specification says to ignore relative values.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(default)))
}

/// Returns the directory of a prefix that holds libdtrace; Debian's triplet directories come first.
///
/// # Errors
/// [`Unreadable`] if none is found and one of the places could not be read.
pub(crate) fn library_directory(prefix: &Path) -> Result<Option<PathBuf>, Unreadable> {
    let mut unreadable = None;
    let mut note = |path: &Path, source: io::Error| {
        if !is_missing(&source) && unreadable.is_none() {
            unreadable = Some(Unreadable { path: path.to_owned(), source });
        }
    };
    let parent = prefix.join("usr/lib");
    let mut triplets: Vec<PathBuf> = match fs::read_dir(&parent) {
        Ok(entries) => entries.flatten().map(|it| it.path()).collect(),
        Err(error) => {
            note(&parent, error);
            Vec::new()
        }
    };
    triplets.sort();
    let plain = ["usr/lib64", "usr/lib", "lib64", "lib"].map(|it| prefix.join(it));
    for directory in triplets.into_iter().chain(plain) {
        let library = directory.join(SONAME);
        match fs::metadata(&library) {
            Ok(_) => return Ok(Some(directory)),
            Err(error) => note(&library, dangling(&library).unwrap_or(error)),
        }
    }
    unreadable.map_or(Ok(None), Err)
}

/// Returns the dynamic loader in a directory: `ld-linux-x86-64.so.2`, `ld-linux-aarch64.so.1`.
///
/// # Errors
/// [`Unreadable`] if the directory could not be read.
pub(crate) fn find_loader(directory: &Path) -> Result<Option<PathBuf>, Unreadable> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(source) => return Err(Unreadable { path: directory.to_owned(), source }),
    };
    Ok(entries.flatten().map(|it| it.path()).find(|it| {
        let name = it.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        name.starts_with("ld-linux") && name.contains(".so.")
    }))
}

/// Whether the directory has a C library beside libdtrace.
pub(crate) fn has_c_library(directory: &Path) -> bool {
    directory.join("libc.so.6").exists()
}

/// Returns the error for a symbolic link that leads nowhere, so that it is not taken for a missing file.
pub(crate) fn dangling(path: &Path) -> Option<io::Error> {
    let target = fs::read_link(path).ok()?;
    let metadata = fs::metadata(path);
    metadata.is_err_and(|error| is_missing(&error)).then(|| {
        io::Error::other(format!(
            "it is a symbolic link to {}, which does not exist",
            target.display()
        ))
    })
}

/// Whether the error means that nothing exists at this path.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
