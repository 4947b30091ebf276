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
    const LOADED: u64 = 1;
    const EXECUTABLE: u64 = 1;
    // Where the numbers are in an entry.
    const FLAGS: usize = 4;
    const OFFSET: usize = 8;
    const ADDRESS: usize = 16;
    const IN_FILE: usize = 32;
    const IN_MEMORY: usize = 40;
    const HEADER: usize = 64;
    const ENTRY: usize = 56;
    let mut header = [0; HEADER];
    memory.read_exact_at(&mut header, first.range.start).ok()?;
    let (table, size, entries) =
        (number::<8>(&header, 32)?, number::<2>(&header, 54)?, number::<2>(&header, 56)?);
    // 64 bit, and this machine's byte order.
    if !header.starts_with(b"\x7fELF\x02") || size != ENTRY as u64 {
        return None;
    }
    let mut entries = vec![0; ENTRY * usize::try_from(entries).ok()?];
    let at = first.range.start.checked_add(table)?;
    let end = at.checked_add(entries.len() as u64)?;
    if end > first.range.end {
        return None;
    }
    memory.read_exact_at(&mut entries, at).ok()?;
    let loaded: Vec<&[u8]> =
        entries.chunks_exact(ENTRY).filter(|it| number::<4>(it, 0) == Some(LOADED)).collect();
    let word = number::<8>;
    let with_header = loaded.iter().find(|it| word(it, OFFSET).is_some_and(|it| it < page()))?;
    let address = word(with_header, ADDRESS)?;
    let base = first.range.start.wrapping_sub(address - address % page());
    let end_of_code = |entry: &&[u8]| {
        let (in_file, in_memory) = (word(entry, IN_FILE)?, word(entry, IN_MEMORY)?);
        // The kernel clears what a segment has beyond the file's contents.
        let is_code = number::<4>(entry, FLAGS)? & EXECUTABLE != 0 && in_file == in_memory;
        let end = base.wrapping_add(word(entry, ADDRESS)?).checked_add(in_file)?;
        (is_code && in_file > 0).then_some(end)
    };
    Some(loaded.iter().filter_map(end_of_code).collect())
}

/// Returns the unsigned number of `N` bytes at an offset.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let little = cfg!(target_endian = "little");
    let part: [u8; N] = *bytes.get(at..)?.first_chunk()?;
    let mut whole = [0; 8];
    if little {
        whole[..N].copy_from_slice(&part)
    } else {
        whole[8 - N..].copy_from_slice(&part)
    }
    Some(u64::from_ne_bytes(whole))
}

/// Returns the length of a page.
fn page() -> u64 {
    let length = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    length.and_then(|length| u64::try_from(length).ok()).filter(|it| *it > 0).unwrap_or(4096)
}
