//! Where in its file is the code of a process?

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mapped_file::{Identity, identities_of};

/// The mappings of one file in a process, as `/proc/PID/maps` has them.
pub(super) struct Mappings {
    pid: i32,
    /// In the order of their addresses.
    mappings: Vec<Mapping>,
}

/// A mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    /// Where in the file it begins.
    offset: u64,
    executable: bool,
    file: Identity,
}

/// Where code is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A path that leads to the mapped file while the mapping exists, even if the file's own path
    /// does not.
    pub(super) link: PathBuf,
    /// The file that was mapped.
    pub(super) file: Identity,
    pub(super) offset: u64,
}

impl Mappings {
    /// Reads the mappings of the file to which `path` leads for the process: as the kernel writes it, as a link in
    /// `/proc/PID/map_files`, or as the dynamic loader writes it, with symbolic links.
    pub(super) fn read(pid: i32, path: &Path) -> io::Result<Mappings> {
        let maps = fs::read(format!("/proc/{pid}/maps"))?;
        let lines = maps.split(|byte| *byte == b'\n');
        let all: Vec<_> =
            lines.filter_map(|line| Some((Mapping::parse(line)?, path_of(line)))).collect();
        let of = |wanted: &dyn Fn(&Mapping, Option<&[u8]>) -> bool| -> Vec<Mapping> {
            let wanted = all.iter().filter(|(mapping, path)| wanted(mapping, *path));
            wanted.map(|(mapping, _)| *mapping).collect()
        };
        let mut mappings = of(&|_, written| written == Some(path.as_os_str().as_bytes()));
        if mappings.is_empty() {
            let linked = all.iter().map(|(mapping, _)| mapping).find(|it| it.link(pid) == path);
            let files = linked.map_or_else(|| identities(pid, path), |mapping| vec![mapping.file]);
            mappings = of(&|mapping, written| written.is_some() && files.contains(&mapping.file));
        }
        mappings.sort_by_key(|mapping| mapping.start);
        Ok(Mappings { pid, mappings })
    }

    /// Returns the place of the code at a distance from the first mapping.
    pub(super) fn at_distance(&self, distance: u64) -> Option<Place> {
        self.at_address(self.mappings.first()?.start.checked_add(distance)?)
    }

    /// Returns the place of the code at an offset in the file.
    pub(super) fn at_offset(&self, offset: u64) -> Option<Place> {
        let contains = |mapping: &Mapping| {
            let distance = offset.checked_sub(mapping.offset);
            distance.is_some_and(|distance| distance < mapping.end - mapping.start)
        };
        Some(self.place(self.code().find(contains)?, offset))
    }

    /// Returns the place of the code at an address.
    pub(super) fn at_address(&self, address: u64) -> Option<Place> {
        let mapping = self.code().find(|it| (it.start..it.end).contains(&address))?;
        Some(self.place(mapping, mapping.offset.checked_add(address - mapping.start)?))
    }

    /// Returns the address of the code at an offset in the file.
    pub(super) fn address_of(&self, offset: u64) -> Option<u64> {
        let mut addresses = self.code().filter_map(|mapping| {
            let distance = offset.checked_sub(mapping.offset)?;
            (distance < mapping.end - mapping.start).then(|| mapping.start + distance)
        });
        addresses.next()
    }

    fn code(&self) -> impl Iterator<Item = Mapping> {
        self.mappings.iter().copied().filter(|mapping| mapping.executable)
    }

    fn place(&self, mapping: Mapping, offset: u64) -> Place {
        Place { link: mapping.link(self.pid), file: mapping.file, offset }
    }
}

/// Returns under which identities the kernel may list the file that a process knows by `path`.
fn identities(pid: i32, path: &Path) -> Vec<Identity> {
    let of_process =
        path.strip_prefix("/").map(|path| Path::new(&format!("/proc/{pid}/root")).join(path));
    let paths = of_process.iter().map(PathBuf::as_path).chain([path]);
    paths.flat_map(identities_of).collect()
}

impl Mapping {
    /// Returns the path of the kernel's link to the mapped file.
    fn link(&self, pid: i32) -> PathBuf {
        format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end).into()
    }

    /// Parses a line of `/proc/PID/maps`.
    fn parse(line: &[u8]) -> Option<Mapping> {
        let mut fields = line.split(|byte| *byte == b' ').map(std::str::from_utf8);
        let (start, end) = fields.next()?.ok()?.split_once('-')?;
        let permissions = fields.next()?.ok()?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let (start, end, offset) = (number(start)?, number(end)?, number(fields.next()?.ok()?)?);
        let executable = permissions.contains('x');
        let file = Identity::parse(fields.next()?.ok()?, fields.next()?.ok()?)?;
        (start < end).then_some(Mapping { start, end, offset, executable, file })
    }
}

/// Returns the path at the end of a line of `/proc/PID/maps`, behind five fields.
fn path_of(line: &[u8]) -> Option<&[u8]> {
    let path = line.splitn(6, |byte| *byte == b' ').nth(5)?.trim_ascii_start();
    path.starts_with(b"/").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(lines: &str) -> Mappings {
        let mappings = lines.lines().map(|line| Mapping::parse(line.as_bytes()).expect("a line"));
        Mappings { pid: 12, mappings: mappings.collect() }
    }

    fn place(link: &str, offset: u64) -> Option<Place> {
        let file = Identity { major: 0xfe, minor: 0, inode: 7 };
        Some(Place { link: PathBuf::from(link), file, offset })
    }

    #[test]
    fn code_that_lld_has_placed_is_found_in_the_file() {
        let maps = mappings(
            "00400000-00402000 r--p 00000000 fe:00 7 /it\n\
             00402000-00408000 r-xp 00001000 fe:00 7 /it\n\
             00409000-0040a000 rw-p 00006000 fe:00 7 /it",
        );
        let file = "/proc/12/map_files/402000-408000";
        assert_eq!(maps.at_distance(0x2ff0), place(file, 0x1ff0));
        assert_eq!(maps.at_offset(0x1ff0), place(file, 0x1ff0));
        assert_eq!(maps.at_distance(0x8000), None, "between the mappings");
        assert_eq!(maps.at_distance(0x10), None, "no code");
        assert_eq!(maps.at_distance(u64::MAX), None);
        assert_eq!(maps.at_offset(0x10), None, "no code");
        assert_eq!(maps.at_address(0x0040_2ff0), place(file, 0x1ff0));
        assert_eq!(maps.at_address(0x0040_0010), None, "no code");
        assert_eq!(maps.address_of(0x1ff0), Some(0x0040_2ff0));
        assert_eq!([0x10, 0x8000, u64::MAX].map(|offset| maps.address_of(offset)), [None; 3]);
    }

    #[test]
    fn the_path_of_a_mapping_may_have_spaces() {
        let line = b"00400000-00402000 r--p 00000000 fe:00 7                  /a b/it";
        assert_eq!(path_of(line), Some(&b"/a b/it"[..]));
        for line in [
            &b"7ffd0000-7ffd1000 rw-p 00000000 00:00 0                  [stack]"[..],
            b"7ffd0000-7ffd1000 rw-p 00000000 00:00 0",
            b"",
        ] {
            assert_eq!(path_of(line), None);
        }
    }

    #[test]
    fn lines_that_are_no_mappings_are_ignored() {
        for line in [
            "",
            "x",
            "1-0 r-xp 0 0:0 0 /it",
            "0-1",
            "0-1 r-xp",
            "-1-5 r-xp 0 0:0 0 /it",
            "0-1 r-xp 0 0 0 /it",
            "0-1 r-xp 0 0:0 x /it",
        ] {
            assert_eq!(Mapping::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn the_code_of_a_program_is_found_by_every_path_to_it() {
        let this = std::env::current_exe().expect("the test knows its own file");
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let maps = Mappings::read(pid, &this).expect("this process exists");
        let link = std::env::temp_dir().join(format!("dtrace-linked-{pid}"));
        std::os::unix::fs::symlink(&this, &link).expect("a link");
        let in_map_files = maps.mappings[0].link(pid);
        let found = [&link, &in_map_files]
            .map(|path| Mappings::read(pid, path).expect("this process exists").mappings);
        let none = Mappings::read(pid, Path::new("/proc/1/map_files/1-2"));
        fs::remove_file(&link).expect("own");
        assert_eq!(found, [maps.mappings.clone(), maps.mappings]);
        assert_eq!(none.expect("this process exists").mappings, []);
    }

    #[test]
    fn the_code_of_this_program_is_found() {
        let this = std::env::current_exe().expect("the test knows its own file");
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let maps = Mappings::read(pid, &this).expect("this process exists");
        let code = maps.code().next().expect("it has code");
        let place = maps.at_distance(code.start - maps.mappings[0].start);
        assert_eq!(place.map(|place| place.offset), Some(code.offset));
    }
}
