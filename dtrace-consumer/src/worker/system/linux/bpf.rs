//! Which bpf(2) requests does the worker make itself?

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

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
const MAP_UPDATE_ELEM: i32 = 2;
pub(super) const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;

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

/// Runs a program once in the context of this thread. Returns what it returns.
pub(super) fn run(program: &[Instruction]) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Default)]
    struct Run {
        program: u32,
        returned: u32,
        others: [u64; 9],
    }
    let load = Load {
        kind: RAW_TRACEPOINT,
        length: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        others: [0; 7],
        function_records: 0,
        function_number: 0,
        line_record_size: 0,
        more: [0; 6],
    };
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

/// The part of `union bpf_attr` for `BPF_MAP_LOOKUP_ELEM` and `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
pub(super) struct Lookup {
    pub(super) map: u32,
    padding: u32,
    /// The address of the key.
    pub(super) key: u64,
    value: u64,
    flags: u64,
}

/// Returns the element of a map under a 32-bit key.
///
/// # Safety
/// The map has keys of 32 bits and values of `N` bytes.
pub(super) unsafe fn look_up<const N: usize>(map: RawFd, key: u32) -> io::Result<[u8; N]> {
    let mut value = [0; N];
    let lookup = Lookup {
        map: map.cast_unsigned(),
        padding: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: value.as_mut_ptr().expose_provenance() as u64,
        flags: 0,
    };
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
    let update = Lookup {
        map: map.cast_unsigned(),
        padding: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: value.as_ptr().expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: as above.
    unsafe { call(MAP_UPDATE_ELEM, (&raw const update).cast(), size_of::<Lookup>())? };
    Ok(())
}

/// # Safety
/// The attributes are those of the command, and as long as `length` says.
unsafe fn call(command: i32, attributes: *const u8, length: usize) -> io::Result<libc::c_long> {
    // SAFETY: the caller guarantees it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, length) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
