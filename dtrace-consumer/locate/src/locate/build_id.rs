//! Which build of a library is a file?

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use elf::ElfStream;
use elf::abi::PT_NOTE;
use elf::endian::NativeEndian;
use elf::note::Note;

/// A longer one is not a hash.
const MOST_BYTES: usize = 64;

/// Returns the library's build-id as hexadecimal digits, if it has one.
pub(super) fn build_id(library: &Path) -> Option<String> {
    let mut elf = ElfStream::<NativeEndian, _>::open_stream(File::open(library).ok()?).ok()?;
    let segments: Vec<_> =
        elf.segments().iter().filter(|it| it.p_type == PT_NOTE).copied().collect();
    segments.iter().find_map(|segment| {
        let id = elf.segment_data_as_notes(segment).ok()?.find_map(|note| match note {
            Note::GnuBuildId(id) => Some(id.0),
            _ => None,
        })?;
        (1..=MOST_BYTES).contains(&id.len()).then(|| {
            id.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        })
    })
}
