//! Which build of a library is a file?
//!
//! Distributions of Linux give their libraries build-ids. The base systems of FreeBSD, macOS and illumos do not, so
//! there a digest of the file takes its place. It tells builds apart, and guards against nobody: whoever can
//! change the library can do anything.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use elf::ElfStream;
use elf::abi::PT_NOTE;
use elf::endian::NativeEndian;
use elf::note::Note;
use twox_hash::XxHash3_128;

/// A longer one is not a hash.
const MOST_BYTES: usize = 64;

/// The file that names the build of macOS, whose libraries are no files.
const SYSTEM_VERSION: &str = "/System/Library/CoreServices/SystemVersion.plist";

/// Returns the library's build-id as hexadecimal digits or, on systems that give their libraries none, a digest of its file.
pub(super) fn identity(library: &Path) -> Option<String> {
    build_id(library).or_else(|| {
        let file = match cfg!(target_os = "macos") && !library.exists() {
            true => Path::new(SYSTEM_VERSION),
            false => library,
        };
        (!cfg!(target_os = "linux")).then(|| fs::read(file).ok()).flatten().map(|it| digest(&it))
    })
}

/// Returns a digest of bytes, as hexadecimal digits. It is the same in all versions of this crate, and is no proof
/// against anybody who looks for other bytes with the same one.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

/// Returns the library's build-id as hexadecimal digits, if it has one.
fn build_id(library: &Path) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_published_algorithm() {
        assert_eq!(digest(b""), "99aa06d3014798d86001c324468d497f");
        assert_ne!(digest(&[0; 1000]), digest(&[0; 1001]));
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_library_without_a_build_id_is_known_by_its_content_except_on_linux() {
        let directory = tempfile::tempdir().expect("a directory of its own");
        let library = directory.path().join("libdtrace.so.2");
        assert_eq!(identity(&library), None);
        fs::write(&library, b"no library").expect("a new file");
        let expected = (!cfg!(target_os = "linux")).then(|| digest(b"no library"));
        assert_eq!(identity(&library), expected);
    }
}
