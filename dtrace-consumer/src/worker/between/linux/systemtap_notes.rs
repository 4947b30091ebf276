//! Which code of a program is a probe that a SystemTap note describes?

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const PT_LOAD: u32 = 1;
const NOTE_SECTION: u32 = 7;
const SECTION_LENGTH: usize = 64;
const SEGMENT_LENGTH: usize = 56;
/// More notes than this are not read. Programs with hundreds of probes have less than 100 KiB.
const NOTES_AT_MOST: u64 = 16 << 20;

/// Returns the offsets in a program's file of the probes that its SystemTap notes describe.
///
/// # Errors
/// The file cannot be read, or is not an ELF file for 64 bits in this machine's byte order.
pub(super) fn noted_offsets(program: &Path) -> io::Result<Vec<u64>> {
    // Someone may have put a FIFO there. Opening it must not wait.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(program)?;
    if !file.metadata()?.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    let header = header(&file)?;
    let lengths = [header.half(54), header.half(58)].map(usize::from);
    if lengths != [SEGMENT_LENGTH, SECTION_LENGTH] {
        return Err(invalid("its headers have an unknown length"));
    }
    let segments = read(&file, header.long(32), usize::from(header.half(56)) * SEGMENT_LENGTH)?;
    let sections = read(&file, header.long(40), usize::from(header.half(60)) * SECTION_LENGTH)?;
    let mut offsets = Vec::new();
    // In all sections together: they may overlap.
    let mut left = NOTES_AT_MOST;
    for section in sections.chunks_exact(SECTION_LENGTH).map(Bytes) {
        if section.word(4) == NOTE_SECTION && section.long(32) <= left {
            left -= section.long(32);
            let length = usize::try_from(section.long(32)).unwrap_or(0);
            let notes = read(&file, section.long(24), length)?;
            offsets.extend(Notes(&notes).filter_map(|address| offset_of(&segments, address)));
        }
    }
    Ok(offsets)
}

/// Returns the offset in the file of an address, by the program's segments.
fn offset_of(segments: &[u8], address: u64) -> Option<u64> {
    segments.chunks_exact(SEGMENT_LENGTH).map(Bytes).find_map(|segment| {
        let distance = address.checked_sub(segment.long(16))?;
        let contains = segment.word(0) == PT_LOAD && distance < segment.long(32);
        contains.then(|| segment.long(8).checked_add(distance))?
    })
}

/// The addresses of probes in a section of notes.
struct Notes<'b>(&'b [u8]);

impl Iterator for Notes<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let (head, rest) = self.0.split_at_checked(12)?;
            let head = Bytes(head);
            let length = |at| usize::try_from(head.word(at)).ok()?.checked_next_multiple_of(4);
            let (name, rest) = rest.split_at_checked(length(0)?)?;
            let (description, rest) = rest.split_at_checked(length(4)?)?;
            self.0 = rest;
            // The description begins with the addresses of the probe, of a section and of a semaphore.
            if name.starts_with(b"stapsdt\0") && head.word(4) >= 24 {
                return Some(Bytes(description).long(0));
            }
        }
    }
}

/// Bytes with integers in this machine's byte order. What is beyond their end is 0.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or([0; N])
    }

    fn half(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }
}

/// The header of an ELF file.
struct Header([u8; 64]);

impl Header {
    fn half(&self, at: usize) -> u16 {
        Bytes(&self.0).half(at)
    }

    fn long(&self, at: usize) -> u64 {
        Bytes(&self.0).long(at)
    }
}

fn header(file: &File) -> io::Result<Header> {
    let mut bytes = [0; 64];
    file.read_exact_at(&mut bytes, 0)?;
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    // The class is that of 64 bits.
    if bytes[..6] != [0x7f, b'E', b'L', b'F', 2, order] {
        return Err(invalid("it is not an ELF file of this machine"));
    }
    Ok(Header(bytes))
}

fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    // A damaged header must not make this allocate more than the file has.
    let end = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
    if end.is_none_or(|end| end > file.metadata().map_or(0, |metadata| metadata.len())) {
        return Err(invalid("its header names parts that it does not have"));
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_its_segment() {
        let segment = |kind: u32, [offset, address, length]: [u64; 3]| {
            let longs = [offset, address, address, length, length, 0];
            let longs = longs.map(u64::to_ne_bytes).concat();
            [&kind.to_ne_bytes()[..], &[0; 4], &longs].concat()
        };
        let segments =
            [segment(6, [0, 0, 0x9000]), segment(PT_LOAD, [0x1ff0, 0x2ff0, 0x5000])].concat();
        assert_eq!(offset_of(&segments, 0x3000), Some(0x2000));
        assert_eq!(offset_of(&segments, 0x7ff0), None);
        let absurd = segment(PT_LOAD, [u64::MAX, 0, u64::MAX]);
        assert_eq!(offset_of(&absurd, 7), None);
    }

    #[test]
    fn addresses_are_read_from_systemtap_notes_only() {
        let note = |name: &[u8], description: &[u8]| {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_ne_bytes();
            let padded = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes
            };
            let head = [length(name), length(description), 3u32.to_ne_bytes()].concat();
            [head, padded(name), padded(description)].concat()
        };
        let described = |address: u64| [&address.to_ne_bytes()[..], &[0; 16], b"shop\0"].concat();
        let notes = [
            note(b"GNU\0", &described(1)),
            note(b"stapsdt\0", &described(0x1234)),
            note(b"stapsdt\0", b"short"),
            note(b"stapsdt\0", &described(0x5678)),
        ]
        .concat();
        assert_eq!(Notes(&notes).collect::<Vec<_>>(), [0x1234, 0x5678]);
        assert_eq!(Notes(&notes[..notes.len() - 1]).collect::<Vec<_>>(), [0x1234]);
    }

    #[test]
    fn a_file_that_is_not_elf_is_an_error() {
        for file in ["/dev/null", "/proc/self/status", "/no/such/file", "/"] {
            assert!(noted_offsets(Path::new(file)).is_err(), "{file}");
        }
    }

    #[test]
    fn a_program_without_such_notes_has_none() {
        let this = std::env::current_exe().expect("the test knows its own file");
        assert!(noted_offsets(&this).expect("it is an ELF file").is_empty());
    }
}
