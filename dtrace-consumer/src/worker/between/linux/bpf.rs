//! Which bpf(2) requests does the worker make itself?

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// An instruction of a program, `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// The destination register; in the other half, the source register.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

pub(super) const MAP_CREATE: i32 = 0;
pub(super) const MAP_LOOKUP_ELEM: i32 = 1;
pub(super) const MAP_UPDATE_ELEM: i32 = 2;
pub(super) const MAP_GET_NEXT_KEY: i32 = 4;
pub(super) const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
pub(super) const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const MAP_LOOKUP_BATCH: i32 = 24;
const MAP_DELETE_BATCH: i32 = 27;

/// The type of programs that [`run`] loads. The kernel runs them in the calling process.
const RAW_TRACEPOINT: u32 = 17;

/// The part of `union bpf_attr` for `BPF_PROG_LOAD` that matters here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Load {
    kind: u32,
    pub(super) length: u32,
    pub(super) instructions: u64,
    license: u64,
    others: [u64; 7],
    pub(super) function_records: u64,
    function_number: u32,
    line_record_size: u32,
    more: [u64; 6],
}

// libdtrace 2.0.7 passes as many bytes.
const _: () =
    assert!(size_of::<Load>() == 144 && std::mem::offset_of!(Load, function_records) == 80);

impl Load {
    /// Returns the attributes of a program that [`run`] loads.
    pub(super) fn of(program: &[Instruction]) -> io::Result<Load> {
        Ok(Load {
            kind: RAW_TRACEPOINT,
            length: u32::try_from(program.len()).map_err(io::Error::other)?,
            instructions: program.as_ptr().expose_provenance() as u64,
            license: c"GPL".as_ptr().expose_provenance() as u64,
            others: [0; 7],
            function_records: 0,
            function_number: 0,
            line_record_size: 0,
            more: [0; 6],
        })
    }
}

/// Runs a program once in the context of this thread. Returns what it returns.
pub(super) fn run(program: &[Instruction]) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Default)]
    struct Run {
        program: u32,
        returned: u32,
        others: [u64; 9],
    }
    let load = Load::of(program)?;
    // SAFETY: the attributes name as many instructions as the program has, and a license that ends in NUL. The
    // result is a new descriptor without another owner.
    let program = unsafe {
        let fd = call(PROG_LOAD, (&raw const load).cast(), size_of::<Load>())?;
        OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?)
    };
    let mut attributes = Run { program: program.as_raw_fd().cast_unsigned(), ..Run::default() };
    // SAFETY: the attributes name no memory, and the kernel writes the result into them.
    unsafe { call(PROG_TEST_RUN, (&raw mut attributes).cast_const().cast(), size_of::<Run>())? };
    Ok(attributes.returned)
}

/// The part of `union bpf_attr` for the commands for one element.
#[repr(C)]
pub(super) struct Lookup {
    pub(super) map: u32,
    padding: u32,
    /// The address of the key.
    pub(super) key: u64,
    /// The address where the value is to be written, or the next key.
    pub(super) value: u64,
    flags: u64,
}

impl Lookup {
    /// Returns the attributes of a call for the element under a key.
    fn new(map: RawFd, key: *const u32, value: usize) -> Lookup {
        let (key, value) = (key.expose_provenance() as u64, value as u64);
        Lookup { map: map.cast_unsigned(), padding: 0, key, value, flags: 0 }
    }

    /// Returns the attributes of a call that reads a key of any size, and writes to a place.
    #[cfg(test)]
    pub(super) fn of(map: RawFd, key: &[u8], place: &mut [u8]) -> Lookup {
        Lookup::new(map, key.as_ptr().cast(), place.as_mut_ptr().expose_provenance())
    }
}

/// Returns the element of a map under a 32-bit key.
///
/// # Safety
/// The map has keys of 32 bits and values of `N` bytes.
pub(super) unsafe fn look_up<const N: usize>(map: RawFd, key: u32) -> io::Result<[u8; N]> {
    let mut value = [0; N];
    let lookup = Lookup::new(map, &raw const key, value.as_mut_ptr().expose_provenance());
    // SAFETY: key and value outlive the call, and have the sizes of the map's, as the caller guarantees.
    unsafe { call(MAP_LOOKUP_ELEM, (&raw const lookup).cast(), size_of::<Lookup>())? };
    Ok(value)
}

/// Changes the element of a map under a 32-bit key.
///
/// # Safety
/// The map has keys of 32 bits and values of `N` bytes.
pub(super) unsafe fn update<const N: usize>(
    map: RawFd,
    key: u32,
    value: [u8; N],
) -> io::Result<()> {
    let update = Lookup::new(map, &raw const key, value.as_ptr().expose_provenance());
    // SAFETY: as above.
    unsafe { call(MAP_UPDATE_ELEM, (&raw const update).cast(), size_of::<Lookup>())? };
    Ok(())
}

/// The part of `union bpf_attr` for `BPF_MAP_GET_FD_BY_ID`.
#[repr(C)]
pub(super) struct ById {
    pub(super) id: u32,
    others: [u32; 2],
}

/// Opens the map with this number.
pub(super) fn map_of(id: u32) -> io::Result<OwnedFd> {
    let by_id = ById { id, others: [0; 2] };
    // SAFETY: the attributes name no memory. The result is a new descriptor without another owner.
    unsafe {
        let fd = call(MAP_GET_FD_BY_ID, (&raw const by_id).cast(), size_of::<ById>())?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?))
    }
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Shape {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    name: [u8; 16],
}

impl Shape {
    /// Returns whether it is the array of 32-bit numbers in which libdtrace's programs keep the state of tracing.
    pub(super) fn is_state(&self) -> bool {
        (self.kind, self.key_size, self.value_size) == (2, 4, 4) && is_state_name(&self.name)
    }

    /// Returns whether it is a hash map with one value for all CPUs.
    pub(super) fn is_hash(&self) -> bool {
        self.kind == 1
    }

    pub(super) fn key_size(&self) -> usize {
        self.key_size as usize
    }

    pub(super) fn value_size(&self) -> usize {
        self.value_size as usize
    }
}

/// Returns whether a map with this name has the state of tracing.
pub(super) fn is_state_name(name: &[u8]) -> bool {
    name.starts_with(b"state\0")
}

/// Returns the shape of a map.
pub(super) fn shape(map: RawFd) -> io::Result<Shape> {
    #[repr(C)]
    struct Info {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut shape = Shape::default();
    let info = Info {
        fd: map.cast_unsigned(),
        length: size_of::<Shape>() as u32,
        info: (&raw mut shape).expose_provenance() as u64,
    };
    // SAFETY: the attributes name memory of the length that they name. The kernel writes no more, only integers, and
    // fewer if another object than a map has less to say.
    unsafe { call(OBJ_GET_INFO_BY_FD, (&raw const info).cast(), size_of::<Info>())? };
    Ok(shape)
}

/// The part of `union bpf_attr` for the commands for many elements.
#[repr(C)]
#[derive(Default)]
struct Batch {
    after: u64,
    next: u64,
    keys: u64,
    values: u64,
    number: u32,
    map: u32,
    flags: [u64; 2],
}

/// Reads the keys and values of a hash map, as far as they take no more than `most` bytes.
///
/// # Errors
/// The kernel does not have the command, the elements are more, or they do not come to an end.
///
/// # Safety
/// The map has keys and values of the sizes of `shape`.
pub(super) unsafe fn elements(
    map: RawFd,
    shape: &Shape,
    most: usize,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    /// About as many bytes as to read at once. A bucket of the map is read at once, even if it has more.
    const AT_ONCE: usize = 256 << 10;
    let (key_size, value_size) = (shape.key_size(), shape.value_size());
    let entries = (shape.entries as usize).max(1);
    let mut room = (AT_ONCE / (key_size + value_size).max(1)).clamp(16, 4096).min(entries);
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let mut position: Option<u32> = None;
    // Each round reads a bucket at least, and there are at most twice as many buckets as elements.
    for _ in 0..entries.saturating_mul(4) {
        let mut next = 0u32;
        let (filled_keys, filled_values) = (keys.len(), values.len());
        keys.resize(filled_keys + room * key_size, 0);
        values.resize(filled_values + room * value_size, 0);
        if keys.len() + values.len() > most.saturating_add(room * (key_size + value_size)) {
            return Err(io::Error::other("the map has too many elements"));
        }
        let after = position.as_ref().map_or(0, |at| (&raw const *at).expose_provenance() as u64);
        let mut batch = Batch {
            after,
            next: (&raw mut next).expose_provenance() as u64,
            keys: keys[filled_keys..].as_mut_ptr().expose_provenance() as u64,
            values: values[filled_values..].as_mut_ptr().expose_provenance() as u64,
            number: u32::try_from(room).map_err(io::Error::other)?,
            map: map.cast_unsigned(),
            flags: [0; 2],
        };
        // SAFETY: the attributes name memory for so many keys and values of the sizes of the map's, as the caller
        // guarantees, and for a position, which has 32 bits in a hash map. All of it outlives the call.
        let result = unsafe {
            let attributes = (&raw mut batch).cast_const().cast();
            call(MAP_LOOKUP_BATCH, attributes, size_of::<Batch>())
        };
        let errno = result.err().map(|error| error.raw_os_error().unwrap_or(0));
        let number = match (errno, batch.number as usize) {
            (Some(libc::ENOSPC), _) => 0,
            (None | Some(libc::ENOENT), number) if number <= room => number,
            (None | Some(libc::ENOENT), _) => return Err(io::Error::other("more than asked for")),
            (Some(errno), _) => return Err(io::Error::from_raw_os_error(errno)),
        };
        keys.truncate(filled_keys + number * key_size);
        values.truncate(filled_values + number * value_size);
        match errno {
            Some(libc::ENOENT) => return Ok((keys, values)),
            Some(_) if room >= entries => return Err(io::Error::from(Errno::ENOSPC)),
            Some(_) => room = (2 * room).min(entries),
            None => position = Some(next),
        }
    }
    Err(io::Error::other("the map does not come to an end"))
}

/// Removes keys from a hash map. A key that is not there any more is not an error.
///
/// # Safety
/// The map has keys of `key_size` bytes.
pub(super) unsafe fn delete(map: RawFd, mut keys: &[u8], key_size: usize) -> io::Result<()> {
    while !keys.is_empty() {
        let mut batch = Batch {
            keys: keys.as_ptr().expose_provenance() as u64,
            number: u32::try_from(keys.len() / key_size.max(1)).map_err(io::Error::other)?,
            map: map.cast_unsigned(),
            ..Batch::default()
        };
        // SAFETY: the attributes name as many keys as they say, of the size of the map's, as the caller guarantees.
        let result = unsafe {
            let attributes = (&raw mut batch).cast_const().cast();
            call(MAP_DELETE_BATCH, attributes, size_of::<Batch>())
        };
        let done = match result {
            Ok(_) => return Ok(()),
            // The keys before this one have been removed.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => batch.number as usize + 1,
            Err(error) => return Err(error),
        };
        keys = keys.get(done * key_size..).unwrap_or_default();
    }
    Ok(())
}

/// # Safety
/// The attributes are those of the command, and as long as `length` says.
unsafe fn call(command: i32, attributes: *const u8, length: usize) -> io::Result<libc::c_long> {
    // SAFETY: the caller guarantees it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, length) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
