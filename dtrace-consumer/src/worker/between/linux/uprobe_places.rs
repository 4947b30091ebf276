//! Where does libdtrace place probes on functions?
//!
//! The kernel takes the file of a probe and the offset in it. libdtrace 2.0.7 passes the distance of the probe
//! from the first mapping of the file instead. The two are equal if the linker pads the file so that every
//! segment is as far from its start as it is in memory. GNU ld does that by default, and LLD, with which Rust
//! links programs, does not. The kernel accepts the wrong place, and the probe never fires there, or breaks
//! an instruction in two. The path that libdtrace passes is the one that the traced process knows. In a
//! container it may be another file's, or nobody's.
//!
//! So this module corrects the attributes of `perf_event_open` that place such probes.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::catch_unwind;
use std::path::Path;

use super::mapped_file::open_if_it_is;
use super::mappings::{Mappings, Place};
use super::systemtap_notes::noted_offsets;

/// Which calls are corrected, and how.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// The type of uprobes in [`Attributes`].
    pub(super) uprobe: u32,
    /// Whether to refuse places about which nothing is known. A worker that serves another user
    /// does so, because that user chooses the path.
    pub(super) only_known: bool,
}

/// What happens to a call.
pub(super) enum Corrected {
    /// It is made with other attributes and another path, which leads to the open file.
    At {
        attributes: Attributes,
        path: CString,
        file: File,
    },
    Refused,
}

/// `struct perf_event_attr`, as long as libdtrace 2.0.7 has it. Only the named fields matter here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    kind: u32,
    length: u32,
    /// The upper half is the offset of the probe's semaphore. Only SystemTap notes have semaphores.
    config: u64,
    others: [u64; 5],
    pub(super) path: *const c_char,
    offset: u64,
    more: [u64; 9],
}

const _: () =
    assert!(size_of::<Attributes>() == 144 && std::mem::offset_of!(Attributes, path) == 56);

/// Returns attributes with the right offset, and the file; `None` if the call is to be passed on as it is.
///
/// # Safety
/// `given` points to attributes of perf_event_open(2), or is null.
pub(super) unsafe fn corrected(
    given: *const Attributes,
    pid: i32,
    rules: Rules,
) -> Option<Corrected> {
    // SAFETY: every version of the attributes begins with type and length.
    let known = !given.is_null()
        && unsafe {
            (*given).kind == rules.uprobe && (*given).length as usize == size_of::<Attributes>()
        };
    if !known {
        return None;
    }
    // SAFETY: the attributes have the length that they name. The path of a uprobe is a C string.
    let (attributes, path) = unsafe {
        let attributes = *given;
        (attributes, (!attributes.path.is_null()).then(|| CStr::from_ptr(attributes.path))?)
    };
    let has_semaphore = attributes.config >> 32 != 0;
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let given = Given { pid, path, offset: attributes.offset, has_semaphore };
    match catch_unwind(|| given.right_place()).unwrap_or(Right::Unknown) {
        Right::At { file, offset } => {
            let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
            Some(Corrected::At { attributes: Attributes { offset, ..attributes }, path, file })
        }
        Right::Unknown if !rules.only_known => None,
        Right::Unknown | Right::Changed => Some(Corrected::Refused),
    }
}

/// The place of a probe as libdtrace passes it.
struct Given<'a> {
    pid: i32,
    path: &'a Path,
    offset: u64,
    has_semaphore: bool,
}

/// The right place for a probe.
enum Right {
    At {
        file: File,
        offset: u64,
    },
    /// The process has not mapped code at that place.
    Unknown,
    /// The mapped file can no longer be found: the process now runs another program.
    Changed,
}

impl Given<'_> {
    fn right_place(&self) -> Right {
        let mappings = (self.pid > 0).then(|| Mappings::read(self.pid, self.path));
        match mappings.and_then(Result::ok).and_then(|mappings| self.place_in(&mappings)) {
            None => Right::Unknown,
            Some(place) => match self.file_of(&place) {
                Some(file) => Right::At { file, offset: place.offset },
                None => Right::Changed,
            },
        }
    }

    fn place_in(&self, mappings: &Mappings) -> Option<Place> {
        let distant = mappings.at_distance(self.offset);
        // libdtrace computes the offsets of probes in SystemTap notes correctly.
        let is_noted = |place: &Place| {
            place.offset != self.offset
                && self.file_of(place).is_some_and(|file| {
                    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                    noted_offsets(Path::new(&path))
                        .is_ok_and(|offsets| offsets.contains(&self.offset))
                })
        };
        let is_offset = self.has_semaphore || distant.as_ref().is_none_or(is_noted);
        if is_offset { mappings.at_offset(self.offset) } else { distant }
    }

    /// Opens the file that was mapped, and no other one: the process may have executed another program since its
    /// mappings were read, and paths are those of its own mount namespace.
    fn file_of(&self, place: &Place) -> Option<File> {
        // The kernel may refuse to follow the link to the mapped file.
        [&place.link, self.path].into_iter().find_map(|path| open_if_it_is(path, place.file))
    }
}

#[cfg(test)]
mod tests;
