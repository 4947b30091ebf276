//! What does a shared library's file tell about itself?
//!
//! Its processor, from the ELF header, and libdtrace's version: the text `D 2.0.7` (`Sun D 1.13`
//! elsewhere) that `_dtrace_version` points to. It lies in a segment that is loaded read-only, so
//! only those are read: 0.9 of 8 MB.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Debian's name for the directory of this processor's libraries, and ELF's number for it.
pub(crate) const TRIPLET: Option<&str> = native().0;
const MACHINE: Option<u16> = native().1;

/// The one place that knows processors.
const fn native() -> (Option<&'static str>, Option<u16>) {
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        (Some("x86_64-linux-gnu"), Some(62))
    } else if cfg!(target_arch = "aarch64") {
        (Some("aarch64-linux-gnu"), Some(183))
    } else {
        (None, None)
    }
}

/// A libdtrace is far smaller: what is larger is something else.
const MOST_BYTES: u64 = 64 << 20;
const MOST_SEGMENTS: u16 = 64;
const PT_LOAD: u32 = 1;
const PF_R: u32 = 4;

/// What a library's file tells.
pub(crate) struct Image {
    /// This process could load it.
    pub(crate) native: bool,
    /// The text after `D `.
    pub(crate) version: Option<String>,
}

impl Image {
    /// Reads the file. A file that is no 64-bit little-endian ELF file is not native.
    pub(crate) fn read(path: &Path) -> io::Result<Image> {
        let mut file = File::open(path)?;
        let mut header = [0; 64];
        if let Err(error) = file.read_exact(&mut header) {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(Image { native: false, version: None }),
                _ => Err(error),
            };
        }
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return Ok(Image { native: false, version: None });
        }
        // A processor that is not in the table cannot be checked: the loader will do it.
        let native = MACHINE.is_none_or(|it| it == half(18));
        let table = u64::from_le_bytes(*header[32..].first_chunk().unwrap_or(&[0; 8]));
        let (size, count) = (usize::from(half(54)), half(56).min(MOST_SEGMENTS));
        let mut version = None;
        for index in 0..u64::from(count) {
            let mut segment = [0; 56];
            if size < segment.len() || version.is_some() {
                break;
            }
            let at = table.saturating_add(index * size as u64);
            if read_at(&mut file, at, &mut segment).is_err() {
                break;
            }
            let word =
                |at: usize| u32::from_le_bytes(*segment[at..].first_chunk().unwrap_or(&[0; 4]));
            let long =
                |at: usize| u64::from_le_bytes(*segment[at..].first_chunk().unwrap_or(&[0; 8]));
            if word(0) == PT_LOAD && word(4) == PF_R {
                let mut bytes = Vec::new();
                file.seek(SeekFrom::Start(long(8)))?;
                (&mut file).take(long(32).min(MOST_BYTES)).read_to_end(&mut bytes)?;
                version = find_version(&bytes);
            }
        }
        Ok(Image { native, version })
    }
}

fn read_at(file: &mut File, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}

/// The version in the first C string of the form `D 2.0.7` or `Sun D 1.13.1`.
fn find_version(bytes: &[u8]) -> Option<String> {
    bytes.split(|it| *it == 0).filter(|it| (5..32).contains(&it.len())).find_map(|text| {
        let version = text.strip_prefix(b"Sun ").unwrap_or(text).strip_prefix(b"D ")?;
        let parts = version.split(|it| *it == b'.');
        let numeric = |it: &[u8]| !it.is_empty() && it.iter().all(u8::is_ascii_digit);
        (version.contains(&b'.') && parts.clone().all(numeric))
            .then(|| String::from_utf8_lossy(version).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_whole_string_of_numbers() {
        let version = |bytes: &[u8]| find_version(bytes);
        assert_eq!(version(b"x\0D 2.0.7\0y").as_deref(), Some("2.0.7"));
        assert_eq!(version(b"\0Sun D 1.13.1\0").as_deref(), Some("1.13.1"));
        for other in
            [&b"\0D 2.0.7-rc\0"[..], b"\0AD 2.0.7\0", b"\0D 2\0", b"\0D 2..7\0", b"\0D .\0", b""]
        {
            assert_eq!(version(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
