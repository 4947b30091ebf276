//! Where does the system have its libraries?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{cache, processor};

/// The libdtrace of a system that comes with its own version of it.
#[cfg(target_os = "linux")]
pub(super) const BUILT_IN: Option<&str> = None;
#[cfg(target_os = "macos")]
pub(super) const BUILT_IN: Option<&str> = Some("/usr/lib/libdtrace.dylib");
#[cfg(target_os = "illumos")]
pub(super) const BUILT_IN: Option<&str> = Some("/usr/lib/64/libdtrace.so.1");
#[cfg(target_os = "freebsd")]
pub(super) const BUILT_IN: Option<&str> = Some("/usr/lib/libdtrace.so.2");
#[cfg(not(any(
    target_os = "linux",
    target_os = "macos",
    target_os = "illumos",
    target_os = "freebsd"
)))]
pub(super) const BUILT_IN: Option<&str> = Some(crate::prefix::SONAME);

/// Returns the usual directories that exist, then those of the loader's cache, without duplicates.
pub(super) fn system_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = Vec::new();
    let usual = processor::TRIPLET.map(|it| format!("/usr/lib/{it}")).into_iter();
    let usual = usual.chain(["/usr/lib64", "/usr/lib", "/lib64", "/lib"].map(String::from));
    let cached = fs::read("/etc/ld.so.cache").unwrap_or_default();
    for directory in usual.map(PathBuf::from).chain(cache::directories(&cached)) {
        if directory.is_dir() && !directories.iter().any(|it| same_file(it, &directory)) {
            directories.push(directory);
        }
    }
    directories
}

/// Whether both paths lead to the same file or directory.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
