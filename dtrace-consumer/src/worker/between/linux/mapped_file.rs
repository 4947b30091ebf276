//! Is this file the one that a process has mapped?

use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::{major, minor};

/// Which file it is, as the kernel lists it among mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) inode: u64,
}

impl Identity {
    /// Parses two fields of `/proc/PID/maps`.
    pub(super) fn parse(device: &str, inode: &str) -> Option<Identity> {
        let (major, minor) = device.split_once(':')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Identity { major: number(major)?, minor: number(minor)?, inode: inode.parse().ok()? })
    }

    /// Returns the identity that the kernel reports for an open file.
    fn of(file: &File) -> Option<Identity> {
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let device = metadata.dev();
        Some(Identity { major: major(device), minor: minor(device), inode: metadata.ino() })
    }

    /// Returns the identity under which the kernel lists this file when it is mapped.
    fn when_mapped(file: &File) -> Option<Identity> {
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let (length, protection) = (NonZeroUsize::MIN, ProtFlags::PROT_READ);
        let private = MapFlags::MAP_PRIVATE;
        // SAFETY: it is a new mapping, at an address that the kernel chooses. Nobody reads it.
        let address = unsafe { mmap(None, length, protection, private, &file, 0) }.ok()?;
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let begin = format!("{:x}-", address.addr());
        let line = maps.lines().find(|line| line.trim_start_matches('0').starts_with(&begin));
        let mut fields = line.unwrap_or_default().split(' ').skip(3);
        let identity = Identity::parse(fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        // SAFETY: it is the mapping that was made above, and nobody has its address.
        unsafe { munmap(address, length.get()) }.ok()?;
        identity
    }
}

/// Opens a path without touching what is there: this neither waits for a FIFO's other end nor starts a device.
fn open(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()
}

/// Opens the file at a path, if it is the one that a list of mappings names. `/proc/self/fd/N` leads to it while it is
/// open.
pub(super) fn open_if_it_is(path: &Path, named: Identity) -> Option<File> {
    let file = open(path)?;
    let identity = Identity::of(&file)?;
    // Overlays and btrfs report other numbers for mappings than elsewhere.
    (identity == named || Identity::when_mapped(&file) == Some(named)).then_some(file)
}

/// Returns the identities under which the kernel may list the file at a path.
pub(super) fn identities_of(path: &Path) -> Vec<Identity> {
    let Some(file) = open(path) else { return Vec::new() };
    let Some(identity) = Identity::of(&file) else { return Vec::new() };
    Identity::when_mapped(&file).into_iter().chain([identity]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn a_mapped_file_is_told_from_its_copy() {
        let program = std::env::current_exe().expect("the test knows its own file");
        let file = File::open(&program).expect("it is there");
        let mapped = Identity::when_mapped(&file).expect("it can be mapped");
        let directory = std::env::temp_dir().join(format!("dtrace-mapped-{}", std::process::id()));
        fs::create_dir(&directory).expect("a new directory");
        let (copy, link) = (directory.join("copy"), directory.join("link"));
        fs::copy(&program, &copy).expect("it can be copied");
        std::os::unix::fs::symlink(&program, &link).expect("a link");
        let found =
            [&program, &link, &copy, &directory].map(|it| open_if_it_is(it, mapped).is_some());
        let identities = [&link, &copy, &directory].map(|it| identities_of(it).contains(&mapped));
        fs::remove_dir_all(&directory).expect("own");
        assert_eq!(found, [true, true, false, false]);
        assert_eq!(identities, [true, false, false]);
    }
}
