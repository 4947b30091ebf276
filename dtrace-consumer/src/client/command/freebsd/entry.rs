//! Lets a held command run up to its program's entry point.
//!
//! The loader runs before that, and all initialisers with it.

use std::io;
use std::mem::size_of;
use std::ptr;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::trap::wait_for_trap;

/// The instruction of a breakpoint.
#[cfg(target_arch = "x86_64")]
const BREAKPOINT: &[u8] = &[0xcc];
#[cfg(target_arch = "aarch64")]
const BREAKPOINT: &[u8] = &0xd420_0000_u32.to_le_bytes();

/// Continues a process that is stopped at its exec up to its entry point. Returns the address of that.
pub(super) fn run_up_to(pid: Pid) -> io::Result<u64> {
    let entry = entry_of(pid)?;
    let mut original = [0; BREAKPOINT.len()];
    transfer(pid, libc::PIOD_READ_I, entry, &mut original)?;
    let mut breakpoint = [0; BREAKPOINT.len()];
    breakpoint.copy_from_slice(BREAKPOINT);
    transfer(pid, libc::PIOD_WRITE_I, entry, &mut breakpoint)?;
    let mut signal = None;
    let mut registers = loop {
        ptrace::cont(pid, signal)?;
        wait_for_trap(pid)?;
        let mut registers = registers_of(pid)?;
        if *place(&mut registers) == after(entry) {
            break registers;
        }
        // Its loader or an initialiser has raised the signal.
        signal = Some(Signal::SIGTRAP);
    };
    transfer(pid, libc::PIOD_WRITE_I, entry, &mut original)?;
    *place(&mut registers) = entry.cast_signed();
    set_registers(pid, &mut registers)?;
    Ok(entry)
}

/// Returns where the breakpoint at an address stops a process.
fn after(entry: u64) -> i64 {
    // An x86 processor has executed it by then.
    let executed = if cfg!(target_arch = "x86_64") { BREAKPOINT.len() as u64 } else { 0 };
    entry.wrapping_add(executed).cast_signed()
}

/// Reads bytes of a process's code, or writes them.
fn transfer(pid: Pid, direction: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let mut request = libc::ptrace_io_desc {
        piod_op: direction,
        piod_offs: ptr::without_provenance_mut(address),
        piod_addr: bytes.as_mut_ptr().cast(),
        piod_len: bytes.len(),
    };
    // SAFETY: the kernel reads or writes as many bytes as there are, and the structure, which outlive the call.
    let result = unsafe { libc::ptrace(libc::PT_IO, pid.as_raw(), (&raw mut request).cast(), 0) };
    Errno::result(result)?;
    if request.piod_len == bytes.len() {
        return Ok(());
    }
    Err(io::Error::other("its entry point cannot be read or written whole"))
}

/// Returns the address of a process's entry point, from what the kernel told its loader.
fn entry_of(pid: Pid) -> io::Result<u64> {
    const ENTRY: u64 = 9;
    let name = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_AUXV, pid.as_raw()];
    let mut pairs = [[0u64; 2]; 64];
    let mut length = size_of_val(&pairs);
    // SAFETY: the call reads four numbers, and writes at most `length` bytes to the pairs, for which all values are
    // valid.
    let result = unsafe {
        libc::sysctl(name.as_ptr(), 4, pairs.as_mut_ptr().cast(), &raw mut length, ptr::null(), 0)
    };
    Errno::result(result)?;
    let pairs = &pairs[..(length / size_of::<[u64; 2]>()).min(pairs.len())];
    let entry = pairs.iter().find(|[kind, _]| kind & 0xffff_ffff == ENTRY);
    entry.map(|[_, value]| *value).ok_or_else(|| io::Error::other("its entry point is unknown"))
}

#[cfg(target_arch = "x86_64")]
type Registers = libc::reg;
#[cfg(target_arch = "aarch64")]
type Registers = libc::gpregs;

/// Returns the place of the next instruction.
#[cfg(target_arch = "x86_64")]
fn place(registers: &mut Registers) -> &mut i64 {
    &mut registers.r_rip
}

/// Returns the place of the next instruction.
#[cfg(target_arch = "aarch64")]
fn place(registers: &mut Registers) -> &mut i64 {
    &mut registers.gp_elr
}

/// Reads the registers of a stopped process.
fn registers_of(pid: Pid) -> io::Result<Registers> {
    // SAFETY: zeros are valid for all registers.
    let mut registers: Registers = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes the structure, which outlives it.
    let result =
        unsafe { libc::ptrace(libc::PT_GETREGS, pid.as_raw(), (&raw mut registers).cast(), 0) };
    Errno::result(result)?;
    Ok(registers)
}

/// Writes the registers of a stopped process.
fn set_registers(pid: Pid, registers: &mut Registers) -> io::Result<()> {
    // SAFETY: the request reads the structure, which outlives it.
    let result =
        unsafe { libc::ptrace(libc::PT_SETREGS, pid.as_raw(), (&raw mut *registers).cast(), 0) };
    Errno::result(result)?;
    Ok(())
}
