//! Which version of libdtrace does a file hold, and can this process load it?
//!
//! The version is the text `D 2.0.7` (`Sun D 1.13` elsewhere) that `_dtrace_version` points to. That
//! pointer is set only when the library is loaded. So the text itself is searched for, in the
//! read-only segments, those without code first: they are 0.9 of 8 MB.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use elf::ElfStream;
use elf::abi::{PF_R, PF_W, PF_X, PT_LOAD};
use elf::endian::NativeEndian;
use elf::file::Class;
use elf::parse::ParseError;
use elf::segment::ProgramHeader;

use super::version::{find_version, standing};
use super::{Refusal, processor};
use crate::prefix::{Unreadable, dangling, is_missing};

/// A file that is larger than this is not libdtrace, which is far smaller.
const MOST_BYTES: u64 = 64 << 20;
const MOST_SEGMENTS: usize = 64;

/// Returns the version of a library, if this process can use it, perhaps after a self-check.
pub(crate) fn examine(library: &Path) -> Result<String, Refusal> {
    let refuse = |source: io::Error| {
        let path = library.to_owned();
        match dangling(library) {
            Some(source) => Unreadable { path, source }.into(),
            None if is_missing(&source) => Refusal::Missing,
            None => Unreadable { path, source }.into(),
        }
    };
    let file = File::open(library).map_err(refuse)?;
    let elf = match ElfStream::<NativeEndian, _>::open_stream(&file) {
        Ok(elf) => elf,
        Err(ParseError::IOError(error)) => return Err(refuse(error)),
        Err(ParseError::UnsupportedElfEndianness(_)) => return Err(Refusal::OtherArchitecture),
        Err(_) => return Err(Refusal::NotALibrary),
    };
    let class = if cfg!(target_pointer_width = "64") { Class::ELF64 } else { Class::ELF32 };
    let machine = elf.ehdr.e_machine;
    if elf.ehdr.class != class || processor::MACHINE.is_some_and(|it| it != machine) {
        return Err(Refusal::OtherArchitecture);
    }
    let mut segments: Vec<_> = elf.segments().iter().filter(|it| is_constant(it)).collect();
    segments.sort_by_key(|it| it.p_flags & PF_X);
    for segment in segments.into_iter().take(MOST_SEGMENTS) {
        let bytes = read_at(&file, segment.p_offset, segment.p_filesz).map_err(refuse)?;
        if let Some(version) = find_version(&bytes) {
            return if standing(&version).is_some() {
                Ok(version)
            } else {
                Err(Refusal::Version(version))
            };
        }
    }
    Err(Refusal::NoVersion)
}

/// Whether the segment is loaded read-only. Some linkers put constants and code into one segment, as in
/// libdtrace for arm64.
fn is_constant(segment: &ProgramHeader) -> bool {
    segment.p_type == PT_LOAD && segment.p_flags & (PF_R | PF_W) == PF_R
}

fn read_at(mut file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length.min(MOST_BYTES)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an ELF file for this processor with one segment, which has these flags and contains the version.
    fn image(segment_type: u32, flags: u32) -> Vec<u8> {
        const HEADER: u16 = 64;
        const ENTRY: u16 = 56;
        let version = b"\0D 2.0.7\0";
        let at = u64::from(HEADER + ENTRY);
        let endianness = if cfg!(target_endian = "little") { 1 } else { 2 };
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, endianness, 1];
        bytes.resize(16, 0);
        let half = |bytes: &mut Vec<u8>, number: u16| bytes.extend(number.to_ne_bytes());
        let word = |bytes: &mut Vec<u8>, number: u32| bytes.extend(number.to_ne_bytes());
        let long = |bytes: &mut Vec<u8>, number: u64| bytes.extend(number.to_ne_bytes());
        // A shared object for this machine, whose segments are described behind the header.
        half(&mut bytes, 3);
        half(&mut bytes, processor::MACHINE.unwrap_or(0));
        word(&mut bytes, 1);
        for number in [0, u64::from(HEADER), 0] {
            long(&mut bytes, number);
        }
        word(&mut bytes, 0);
        for number in [HEADER, ENTRY, 1, 64, 0, 0] {
            half(&mut bytes, number);
        }
        word(&mut bytes, segment_type);
        word(&mut bytes, flags);
        let length = version.len() as u64;
        for number in [at, at, at, length, length, 1] {
            long(&mut bytes, number);
        }
        bytes.extend(version);
        bytes
    }

    /// Linkers put constants into a segment of their own (x86_64), or into that of the code (arm64).
    #[cfg(target_pointer_width = "64")]
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn the_version_is_in_any_loaded_segment_that_is_readable_and_not_writable() {
        const PT_NOTE: u32 = 4;
        let directory = tempfile::tempdir().expect("a directory of its own");
        let found = |segment_type, flags| {
            let path = directory.path().join("libdtrace.so");
            std::fs::write(&path, image(segment_type, flags)).expect("a new file");
            examine(&path).ok()
        };
        let version = Some("2.0.7".to_owned());
        for flags in [PF_R, PF_R | PF_X] {
            assert_eq!(found(PT_LOAD, flags), version, "{flags}");
        }
        for flags in [0, PF_X, PF_W, PF_R | PF_W, PF_R | PF_W | PF_X] {
            assert_eq!(found(PT_LOAD, flags), None, "{flags}");
        }
        assert_eq!(found(PT_NOTE, PF_R), None);
    }
}
