//! Where does libdtrace place probes on functions?
//!
//! The kernel takes the file of a probe and the offset in it. libdtrace 2.0.7 passes the distance of the probe
//! from the first mapping of the file instead. The two are equal if the linker pads the file so that every
//! segment is as far from its start as it is in memory. GNU ld does that by default, and LLD, with which Rust
//! links programs, does not. The kernel accepts the wrong place, and the probe never fires there, or breaks
//! an instruction in two. The path that libdtrace passes is the one that the traced process knows. In a
//! container it may be another file's, or nobody's.
//!
//! So this module comes between libdtrace and the kernel: it replaces the function `syscall` that libdtrace
//! calls, and corrects calls of `perf_event_open` that place such probes. All other calls are passed on as
//! they are.

use std::ffi::{CStr, CString, OsStr, c_char, c_long};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io, ptr};

use super::called_function;
use super::mappings::{Mappings, Place};
use super::systemtap_notes::noted_offsets;

/// `syscall(2)` with all arguments that a system call can have.
type Syscall = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;

/// What the calls are passed on to.
static NEXT: OnceLock<Next> = OnceLock::new();

struct Next {
    syscall: Syscall,
    /// The type of uprobes in [`Attributes`].
    uprobe: u32,
}

/// `struct perf_event_attr`, as long as libdtrace 2.0.7 has it. Only the named fields matter here.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attributes {
    kind: u32,
    length: u32,
    /// The upper half is the offset of the probe's semaphore. Only SystemTap notes have semaphores.
    config: u64,
    others: [u64; 5],
    path: *const c_char,
    offset: u64,
    more: [u64; 9],
}

const _: () =
    assert!(size_of::<Attributes>() == 144 && std::mem::offset_of!(Attributes, path) == 56);

/// Corrects the places of probes that the libdtrace which contains `inside` will pass to the kernel.
///
/// # Errors
/// The kernel has no uprobes, or libdtrace does not call `syscall` as expected.
pub(crate) fn correct_probe_places(inside: usize) -> io::Result<()> {
    let kind = fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    let uprobe = kind.trim().parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let intercept = |place: *mut usize| {
        // SAFETY: the place is writable, and holds the address of the C library's `syscall`: libdtrace is opened
        // with RTLD_NOW, so the loader has filled it in and will not write to it again. Its declaration has
        // variable arguments. They are passed like those of `Syscall`, because all are integers. The
        // replacement is called in the same way. Both read as many arguments as a system call can have, and
        // the kernel ignores those that a call does not have.
        unsafe {
            let syscall: Syscall = std::mem::transmute(*place);
            // A second libdtrace in this process would be the same.
            if NEXT.set(Next { syscall, uprobe }).is_ok() {
                *place = passes_on as *const () as usize;
            }
        }
    };
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet.
    unsafe { called_function::replace(inside, c"syscall", intercept) }
}

/// Takes the place of `syscall` for libdtrace.
unsafe extern "C" fn passes_on(
    number: c_long,
    first: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> c_long {
    // It is set before this function's address is.
    let Some(next) = NEXT.get() else { return -1 };
    if number == libc::SYS_perf_event_open {
        let given: *const Attributes = ptr::with_exposed_provenance(first);
        // SAFETY: the first argument of this call points to attributes.
        if let Some((attributes, file)) = unsafe { corrected(given, process(a), next.uprobe) } {
            // The kernel writes to attributes whose length it does not know.
            let mut attributes = Attributes { path: file.as_ptr(), ..attributes };
            let attributes = (&raw mut attributes).expose_provenance();
            // SAFETY: it is the caller's call, with a copy of its attributes and another path. Both outlive
            // the call.
            return unsafe { (next.syscall)(number, attributes, a, b, c, d, e) };
        }
    }
    // SAFETY: it is the caller's call.
    unsafe { (next.syscall)(number, first, a, b, c, d, e) }
}

/// Returns the process that an argument names; only the lower half of an `int`'s register counts.
fn process(argument: usize) -> i32 {
    let bytes = argument.to_ne_bytes();
    let low = if cfg!(target_endian = "little") { &bytes[..4] } else { &bytes[4..] };
    low.try_into().map_or(0, i32::from_ne_bytes)
}

/// Returns attributes with the right offset, and the path of the file; `None` if nothing is known.
///
/// # Safety
/// `given` points to attributes of perf_event_open(2), or is null.
unsafe fn corrected(
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
