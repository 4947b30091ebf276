//! Where does a program's memory have room that the program does not use?
//!
//! A segment of code rarely ends at a page boundary. The rest of its last page is mapped anyway,
//! and shows what follows in the file. Only the file's program headers show where the segment ends:
//! what looks like padding may be constants, which some linkers put after the code into the same
//! segment.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use elf::abi::{EI_NIDENT, PF_X, PT_LOAD};
use elf::endian::NativeEndian;
use elf::file::{Class, ELF64_EHDR_TAILSIZE, FileHeader, parse_ident};
use elf::parse::ParseAt;
use elf::segment::{ProgramHeader, SegmentTable};
use nix::unistd::Pid;

use crate::client::lossy::read_lossy;

/// A part of a file in a process's memory.
pub(super) struct Mapping {
    pub(super) range: Range<u64>,
    pub(super) file: String,
    is_code: bool,
    offset: u64,
    /// Device and inode.
    identity: String,
}

/// Returns the parts of files in a process's memory.
fn mappings(pid: Pid) -> io::Result<Vec<Mapping>> {
    let mapping = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let identity = format!("{} {}", fields.next()?, fields.next()?);
        let file = fields.next().filter(|file| file.starts_with('/'))?.to_owned();
        let (start, end) = range.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let (range, offset) = (number(start)?..number(end)?, number(offset)?);
        Some(Mapping { range, file, is_code: rights == "r-xp", offset, identity })
    };
    Ok(read_lossy(format!("/proc/{pid}/maps"))?.lines().filter_map(mapping).collect())
}

/// Returns the code of files in a process's memory.
pub(super) fn mapped_code(pid: Pid) -> io::Result<Vec<Mapping>> {
    Ok(mappings(pid)?.into_iter().filter(|mapping| mapping.is_code).collect())
}

/// Finds `length` bytes, aligned to words, behind the end of a segment of code. The process is this thread's, and
/// stopped.
pub(super) fn find(pid: Pid, length: usize) -> io::Result<Option<u64>> {
    let length = length as u64;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mappings = mappings(pid)?;
    // A small file's data may be mapped from its start, too, but behind its code.
    let is_first = |at: usize| mappings[..at].iter().all(|it| it.identity != mappings[at].identity);
    let firsts = (0..mappings.len()).filter(|at| mappings[*at].offset == 0 && is_first(*at));
    for first in firsts.map(|at| &mappings[at]) {
        for end in ends_of_code(&memory, first).unwrap_or_default() {
            let start = end.next_multiple_of(size_of::<u64>() as u64);
            let is_room = |code: &&Mapping| {
                code.is_code
                    && code.identity == first.identity
                    // The last page of the segment is that of the mapping.
                    && code.range.contains(&(end - 1))
                    && start.checked_add(length).is_some_and(|end| end <= code.range.end)
                    && code.range.end - end < page()
            };
            if mappings.iter().any(|code| is_room(&code)) {
                return Ok(Some(start));
            }
        }
    }
    Ok(None)
}

/// Returns where the segments of code of a file end in memory, from the file's headers, which are at the start
/// of its first mapping.
fn ends_of_code(memory: &File, first: &Mapping) -> Option<Vec<u64>> {
    let mut bytes = [0; EI_NIDENT + ELF64_EHDR_TAILSIZE];
    memory.read_exact_at(&mut bytes, first.range.start).ok()?;
    let (ident, tail) = bytes.split_at(EI_NIDENT);
    let header = FileHeader::parse_tail(parse_ident::<NativeEndian>(ident).ok()?, tail).ok()?;
    let entry = ProgramHeader::validate_entsize(header.class, header.e_phentsize.into()).ok()?;
    if header.class != Class::ELF64 {
        return None;
    }
    let mut entries = vec![0; entry * usize::from(header.e_phnum)];
    let at = first.range.start.checked_add(header.e_phoff)?;
    let end = at.checked_add(entries.len() as u64)?;
    if end > first.range.end {
        return None;
    }
    memory.read_exact_at(&mut entries, at).ok()?;
    let segments = SegmentTable::new(header.endianness, header.class, &entries);
    let loaded: Vec<ProgramHeader> = segments.iter().filter(|it| it.p_type == PT_LOAD).collect();
    let with_header = loaded.iter().find(|it| it.p_offset < page())?;
    let address = with_header.p_vaddr;
    let base = first.range.start.wrapping_sub(address - address % page());
    let end_of_code = |segment: &ProgramHeader| {
        // The kernel clears what a segment has beyond the file's contents.
        let is_code = segment.p_flags & PF_X != 0 && segment.p_filesz == segment.p_memsz;
        let end = base.wrapping_add(segment.p_vaddr).checked_add(segment.p_filesz)?;
        (is_code && segment.p_filesz > 0).then_some(end)
    };
    Some(loaded.iter().filter_map(end_of_code).collect())
}

/// Returns the length of a page.
fn page() -> u64 {
    let length = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    length.and_then(|length| u64::try_from(length).ok()).filter(|it| *it > 0).unwrap_or(4096)
}
