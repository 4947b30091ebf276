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
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::mappings::{Mappings, Place};
use super::systemtap_notes::noted_offsets;

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

/// Returns attributes with the right offset, and the path of the file; `None` if nothing is known.
///
/// # Safety
/// `given` points to attributes of perf_event_open(2), or is null.
pub(super) unsafe fn corrected(
    given: *const Attributes,
    pid: i32,
    uprobe: u32,
) -> Option<(Attributes, CString)> {
    // SAFETY: every version of the attributes begins with type and length.
    let known = !given.is_null()
        && unsafe {
            (*given).kind == uprobe && (*given).length as usize == size_of::<Attributes>()
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
    let place =
        catch_unwind(|| right_place(pid, path, attributes.offset, has_semaphore)).ok()??;
    let file = CString::new(place.file.into_os_string().into_vec()).ok()?;
    Some((Attributes { offset: place.offset, ..attributes }, file))
}

/// Returns the right place for the one that libdtrace passes; `None` if nothing is known.
fn right_place(pid: i32, path: &Path, passed: u64, has_semaphore: bool) -> Option<Place> {
    let mappings = (pid > 0).then(|| Mappings::read(pid, path))?.ok()?;
    let distant = mappings.at_distance(passed);
    // libdtrace computes the offsets of probes in SystemTap notes correctly.
    let is_offset = has_semaphore
        || distant.as_ref().is_none_or(|place| {
            place.offset != passed
                && noted_offsets(&place.file).is_ok_and(|offsets| offsets.contains(&passed))
        });
    let place = if is_offset { mappings.at_offset(passed) } else { distant }?;
    // The kernel may refuse to follow the link to the mapped file.
    let file = if fs::metadata(&place.file).is_ok() { place.file } else { PathBuf::from(path) };
    Some(Place { file, ..place })
}
