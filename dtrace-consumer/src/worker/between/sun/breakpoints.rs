//! Puts a process back to the breakpoint that has stopped it, and removes none that is not there.
//!
//! An x86 processor stops behind a breakpoint. libproc puts a process back before it has it go on, but not where it takes the
//! breakpoint for another stop. The process would go on in the middle of the program's instruction.
//!
//! A process that has run another program since, by exec(2), has lost its breakpoints. libproc does not know that, and would
//! write the first program's instructions into the other one.
//!
//! Not corrected: another signal that is reported before the breakpoint's, a breakpoint that stops a second thread meanwhile,
//! and traps that the program raises itself, which libproc takes for its own.

use std::ffi::c_int;

use parking_lot::Mutex;

/// The instruction of a breakpoint.
const BREAKPOINT: u8 = 0xcc;

/// Where libproc has put breakpoints in which process, also those that it has removed.
static PLACES: Mutex<Vec<(i32, usize)>> = Mutex::new(Vec::new());

/// Notes where libproc has put a breakpoint.
///
/// # Safety
/// `transfer` describes a transfer of bytes.
pub(super) unsafe fn note(pid: i32, transfer: *const libc::ptrace_io_desc) {
    // SAFETY: the caller guarantees it.
    let Some((place, BREAKPOINT)) = (unsafe { written(transfer) }) else { return };
    let mut places = PLACES.lock();
    if !places.contains(&(pid, place)) {
        places.push((pid, place));
    }
}

/// Forgets a process that libproc has let go of.
pub(super) fn forget(pid: i32) {
    PLACES.lock().retain(|(of, _)| *of != pid);
}

/// Returns whether libproc is about to remove a breakpoint that is not there any more.
///
/// # Safety
/// `transfer` describes a transfer of bytes.
pub(super) unsafe fn is_gone(pid: i32, transfer: *const libc::ptrace_io_desc) -> bool {
    // SAFETY: the caller guarantees it.
    let Some((place, byte)) = (unsafe { written(transfer) }) else { return false };
    if byte == BREAKPOINT || !PLACES.lock().contains(&(pid, place)) {
        return false;
    }
    let mut there = BREAKPOINT;
    let mut request = libc::ptrace_io_desc {
        piod_op: libc::PIOD_READ_I,
        piod_offs: std::ptr::without_provenance_mut(place),
        piod_addr: (&raw mut there).cast(),
        piod_len: 1,
    };
    // SAFETY: the kernel writes one byte, and the structure, which outlive the call.
    unsafe { libc::ptrace(libc::PT_IO, pid, (&raw mut request).cast(), 0) };
    there != BREAKPOINT
}

/// Returns the place and the byte if that is all that is written.
///
/// # Safety
/// `transfer` describes a transfer of bytes.
unsafe fn written(transfer: *const libc::ptrace_io_desc) -> Option<(usize, u8)> {
    // SAFETY: the caller guarantees it. What is written comes from a buffer of that length.
    unsafe {
        let transfer = transfer.as_ref()?;
        let is_one = transfer.piod_op == libc::PIOD_WRITE_I && transfer.piod_len == 1;
        is_one.then(|| (transfer.piod_offs.addr(), *transfer.piod_addr.cast::<u8>()))
    }
}

/// Puts a process that libproc's breakpoint has stopped back to it. libproc itself does that for those that it expects, and
/// has the process make a single step; then a breakpoint is not what has stopped it last.
pub(super) fn put_back(pid: i32) {
    if !is_at_a_breakpoint(pid) {
        return;
    }
    // SAFETY: zeros are valid for all registers. The requests write and read the structure, which outlives them. They
    // concern the thread that has stopped.
    unsafe {
        let mut registers: libc::reg = std::mem::zeroed();
        if libc::ptrace(libc::PT_GETREGS, pid, (&raw mut registers).cast(), 0) != 0 {
            return;
        }
        registers.r_rip = registers.r_rip.wrapping_sub(1);
        let place = usize::try_from(registers.r_rip.cast_unsigned());
        if place.is_ok_and(|place| PLACES.lock().contains(&(pid, place))) {
            libc::ptrace(libc::PT_SETREGS, pid, (&raw mut registers).cast(), 0);
        }
    }
}

/// Returns whether a breakpoint has stopped a process, and not for example a single step.
fn is_at_a_breakpoint(pid: i32) -> bool {
    const TRAP_BRKPT: c_int = 1;
    const SIZE: c_int = size_of::<libc::ptrace_lwpinfo>() as c_int;
    // SAFETY: zeros are valid for all fields of the structure. The request writes at most its size.
    let information = unsafe {
        let mut information: libc::ptrace_lwpinfo = std::mem::zeroed();
        if libc::ptrace(libc::PT_LWPINFO, pid, (&raw mut information).cast(), SIZE) != 0 {
            return false;
        }
        information
    };
    let signal = information.pl_siginfo;
    information.pl_event == libc::PL_EVENT_SIGNAL
        && (signal.si_signo, signal.si_code) == (libc::SIGTRAP, TRAP_BRKPT)
}
