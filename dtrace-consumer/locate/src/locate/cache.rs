//! Which directories are in the cache of the system's dynamic loader?
//!
//! Reads `/etc/ld.so.cache` in the format that glibc has written since 2.2 (dl-cache.h in its source): a
//! magic text, a count, 24 bytes for each library with the offset of its path, and the paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// The position in an entry of the path's offset.
const VALUE: usize = 8;

/// Returns the directories of all cached libraries, without duplicates. Empty if it is not such a cache.
pub(super) fn directories(cache: &[u8]) -> Vec<PathBuf> {
    // A cache in an older format may precede it. Offsets count from the magic text.
    let Some(start) = cache.windows(MAGIC.len()).position(|it| it == MAGIC) else {
        return Vec::new();
    };
    let cache = &cache[start..];
    let count = word(cache, MAGIC.len()).unwrap_or(0) as usize;
    let mut directories: Vec<PathBuf> = Vec::new();
    // If the count exceeds the file, iteration ends with the last complete entry.
    for entry in cache.get(HEADER..).unwrap_or_default().chunks_exact(ENTRY).take(count) {
        let Some(path) = word(entry, VALUE).and_then(|at| cache.get(at as usize..)) else {
            continue;
        };
        let path = path.split(|it| *it == 0).next().unwrap_or_default();
        if let Some(directory) = Path::new(OsStr::from_bytes(path)).parent()
            && directory.is_absolute()
            && !directories.iter().any(|it| it == directory)
        {
            directories.push(directory.to_owned());
        }
    }
    directories
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_of(paths: &[&str]) -> Vec<u8> {
        let mut cache = MAGIC.to_vec();
        cache.extend((paths.len() as u32).to_ne_bytes());
        cache.resize(HEADER, 0);
        let mut at = HEADER + paths.len() * ENTRY;
        for path in paths {
            let mut entry = [0; ENTRY];
            entry[VALUE..VALUE + 4].copy_from_slice(&(at as u32).to_ne_bytes());
            cache.extend(entry);
            at += path.len() + 1;
        }
        for path in paths {
            cache.extend(path.bytes().chain([0]));
        }
        cache
    }

    #[test]
    fn names_each_directory_once() {
        let cache = cache_of(&["/opt/a/libx.so.1", "/usr/lib/liby.so.2", "/opt/a/libz.so"]);
        assert_eq!(directories(&cache), [Path::new("/opt/a"), Path::new("/usr/lib")]);
    }

    #[test]
    fn follows_an_older_cache_in_the_same_file() {
        let mut cache = b"ld.so-1.7.0\0\0\0\0\0".to_vec();
        cache.extend(cache_of(&["/opt/a/libx.so.1"]));
        assert_eq!(directories(&cache), [Path::new("/opt/a")]);
    }

    #[test]
    fn a_damaged_cache_gives_what_can_be_read_of_it() {
        let whole = cache_of(&["/opt/a/libx.so.1", "/usr/lib/liby.so.2"]);
        for length in 0..whole.len() {
            let _ = directories(&whole[..length]);
        }
        let mut endless = whole.clone();
        endless[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(directories(&endless)[..2], [Path::new("/opt/a"), Path::new("/usr/lib")]);
        assert_eq!(directories(b"no cache at all"), Vec::<PathBuf>::new());
    }
}
