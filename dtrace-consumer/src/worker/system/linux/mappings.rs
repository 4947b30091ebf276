//! Where in its file is the code of a process?

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
}

/// Where code is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A path that leads to the mapped file, whatever has become of the file's own path.
    pub(super) file: PathBuf,
    pub(super) offset: u64,
}

impl Mappings {
    /// Reads the mappings of the file that the process knows by `path`.
    pub(super) fn read(pid: i32, path: &Path) -> io::Result<Mappings> {
        let maps = fs::read(format!("/proc/{pid}/maps"))?;
        let of_file = |line: &&[u8]| path_of(line) == Some(path.as_os_str().as_bytes());
        let lines = maps.split(|byte| *byte == b'\n').filter(of_file);
        let mut mappings: Vec<Mapping> = lines.filter_map(Mapping::parse).collect();
        mappings.sort_by_key(|mapping| mapping.start);
        Ok(Mappings { pid, mappings })
    }

    /// Returns the place of the code at a distance from the first mapping.
    pub(super) fn at_distance(&self, distance: u64) -> Option<Place> {
        let address = self.mappings.first()?.start.checked_add(distance)?;
        let contains = |mapping: &Mapping| (mapping.start..mapping.end).contains(&address);
        let mapping = self.code().find(contains)?;
        Some(self.place(mapping, mapping.offset.checked_add(address - mapping.start)?))
    }

    /// Returns the place of the code at an offset in the file.
    pub(super) fn at_offset(&self, offset: u64) -> Option<Place> {
        let contains = |mapping: &Mapping| {
            let distance = offset.checked_sub(mapping.offset);
            distance.is_some_and(|distance| distance < mapping.end - mapping.start)
        };
        Some(self.place(self.code().find(contains)?, offset))
    }

    fn code(&self) -> impl Iterator<Item = Mapping> {
        self.mappings.iter().copied().filter(|mapping| mapping.executable)
    }

    fn place(&self, mapping: Mapping, offset: u64) -> Place {
        let Mapping { start, end, .. } = mapping;
        let file = PathBuf::from(format!("/proc/{}/map_files/{start:x}-{end:x}", self.pid));
        Place { file, offset }
    }
}

impl Mapping {
    /// Parses a line of `/proc/PID/maps`.
    fn parse(line: &[u8]) -> Option<Mapping> {
        let mut fields = line.split(|byte| *byte == b' ').map(std::str::from_utf8);
        let (start, end) = fields.next()?.ok()?.split_once('-')?;
        let permissions = fields.next()?.ok()?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let (start, end, offset) = (number(start)?, number(end)?, number(fields.next()?.ok()?)?);
        let executable = permissions.contains('x');
        (start < end).then_some(Mapping { start, end, offset, executable })
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

    fn place(file: &str, offset: u64) -> Option<Place> {
        Some(Place { file: PathBuf::from(file), offset })
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
        for line in ["", "x", "1-0 r-xp 0 0:0 0 /it", "0-1", "0-1 r-xp", "-1-5 r-xp 0 0:0 0 /it"] {
            assert_eq!(Mapping::parse(line.as_bytes()), None, "{line}");
        }
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
