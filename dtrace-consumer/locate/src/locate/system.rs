//! Where does the system have its libraries?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{cache, processor};

/// Where a system has the libdtrace that comes with it. There is one if this is not empty; the first that exists is used.
#[cfg(target_os = "linux")]
const BUILT_IN: [&str; 0] = [];
#[cfg(target_os = "macos")]
const BUILT_IN: [&str; 1] = ["/usr/lib/libdtrace.dylib"];
#[cfg(target_os = "illumos")]
const BUILT_IN: [&str; 1] = ["/usr/lib/64/libdtrace.so.1"];
#[cfg(target_os = "freebsd")]
const BUILT_IN: [&str; 2] = ["/lib/libdtrace.so.2", "/usr/lib/libdtrace.so.2"];
#[cfg(not(any(
    target_os = "linux",
    target_os = "macos",
    target_os = "illumos",
    target_os = "freebsd"
)))]
const BUILT_IN: [&str; 1] = [crate::prefix::SONAME];

/// Returns the libdtrace of a system that comes with its own version of it. It need not be a file: that of macOS is in the
/// loader's cache.
pub(super) fn built_in() -> Option<&'static Path> {
    let mut places = BUILT_IN.iter().map(Path::new);
    places.clone().find(|path| path.exists()).or_else(|| places.next())
}

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
