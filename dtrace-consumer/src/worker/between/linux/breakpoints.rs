//! How can libdtrace set breakpoints in a process without killing it?
//!
//! libdtrace sets a breakpoint in the dynamic linker of a process that it attaches to, and so learns when the
//! process loads a library. In 2.0.7 two things go wrong, and either kills the process by SIGTRAP.
//!
//! It attaches to the first thread only. Any other thread that loads a library reaches the breakpoint without a
//! tracer. So this module keeps breakpoints out of processes with several threads, and takes them back
//! when a process starts its second one.
//!
//! libdtrace interrupts a process to remove the breakpoint. If the process reaches it at that moment, the
//! kernel reports the interruption first, and the trap when the breakpoint is gone. libdtrace then takes it for
//! a signal of the program, and passes it on. So this module has the trap reported first.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_long};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::worker::system::linux::status::Status;

/// The instructions that breakpoints have replaced, by process and address.
static SET: Mutex<BTreeMap<(i32, usize), usize>> = Mutex::new(BTreeMap::new());

/// The processes that have had several threads. libdtrace believes that it has breakpoints there.
static WITHOUT: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How long a wait for a process without breakpoints takes at most. Without them, libdtrace is not notified
/// when the dynamic linker is done, but looks after each wait.
const PAUSE: Duration = Duration::from_millis(10);

/// A breakpoint, and which bytes of a word it occupies.
#[cfg(target_arch = "aarch64")]
const BREAKPOINT: (usize, usize) = (0xd420_0000, 0xffff_ffff);
#[cfg(not(target_arch = "aarch64"))]
const BREAKPOINT: (usize, usize) = (0xcc, 0xff);

fn is_breakpoint(word: usize) -> bool {
    word & BREAKPOINT.1 == BREAKPOINT.0
}

/// Returns whether libdtrace may write the word there: it may not set a breakpoint in a process with threads.
pub(super) fn may_write(pid: c_int, address: usize, word: usize) -> bool {
    // libdtrace has stopped the process, so it starts no thread meanwhile.
    let Some(present) = word_at(pid, address) else { return true };
    if !is_breakpoint(word) {
        SET.lock().remove(&(pid, address));
    } else if !is_breakpoint(present) {
        if number_of_threads(pid) != Some(1) || !has_breakpoints(pid) {
            WITHOUT.lock().insert(pid);
            return false;
        }
        SET.lock().insert((pid, address), present);
    }
    true
}

/// Returns whether the breakpoints that libdtrace believes to have set are really in the process.
pub(super) fn has_breakpoints(pid: c_int) -> bool {
    !WITHOUT.lock().contains(&pid)
}

/// Takes the breakpoints back from a stopped process, which starts a thread.
pub(super) fn take_back(pid: c_int) {
    WITHOUT.lock().insert(pid);
    let mut set = SET.lock();
    let kept = set.split_off(&(pid.saturating_add(1), 0));
    let of_process = set.split_off(&(pid, 0));
    set.extend(kept);
    for ((_, address), instruction) in of_process {
        if word_at(pid, address).is_some_and(is_breakpoint) {
            let word = c_long::from_ne_bytes(instruction.to_ne_bytes());
            // It fails only if the process is gone.
            let _ = ptrace::write(Pid::from_raw(pid), pointer(address), word);
        }
    }
}

/// Forgets a process that has executed a program, has ended, or is attached to anew.
pub(super) fn forget(pid: c_int) {
    WITHOUT.lock().remove(&pid);
    SET.lock().retain(|(of, _), _| *of != pid);
}

/// Returns the stop that libdtrace must see instead of an interruption: the trap that the process has run into
/// before. The interruption follows it.
pub(super) fn trap_before(pid: c_int, status: c_int) -> Option<c_int> {
    const INTERRUPTED: c_int = libc::PTRACE_EVENT_STOP << 8 | libc::SIGTRAP;
    if status >> 8 != INTERRUPTED || !is_trap_pending(pid) {
        return None;
    }
    // The process runs no instruction: it has a signal to report.
    ptrace::cont(Pid::from_raw(pid), None).ok()?;
    let mut trap = 0;
    // SAFETY: waitpid writes only the status, which outlives the call.
    while unsafe { libc::waitpid(pid, &raw mut trap, libc::__WALL) } < 0 {
        (Errno::last() == Errno::EINTR).then_some(())?;
    }
    if libc::WIFSTOPPED(trap) {
        // It fails only if the process has been killed meanwhile, which the next wait reports.
        let _ = ptrace::interrupt(Pid::from_raw(pid));
    }
    Some(trap)
}

/// Waits a little for a process that has no breakpoints. Returns what `wait` does, or -1 and EINTR, after
/// which libdtrace looks at the process and waits again.
pub(super) fn wait_briefly(wait: impl Fn() -> c_int) -> c_int {
    let changed = wait();
    if changed != 0 {
        return changed;
    }
    // A signal ends the pause: libdtrace sends one to a thread that is to do something else.
    let pause = TimeSpec::from_duration(PAUSE);
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &pause);
    match wait() {
        0 => {
            Errno::EINTR.set();
            -1
        }
        changed => changed,
    }
}

/// Reads a word of the process; `None` if there is none.
fn word_at(pid: c_int, address: usize) -> Option<usize> {
    let word = ptrace::read(Pid::from_raw(pid), pointer(address)).ok()?;
    Some(usize::from_ne_bytes(word.to_ne_bytes()))
}

/// Returns an address in the memory of another process.
fn pointer(address: usize) -> ptrace::AddressType {
    ptr::without_provenance_mut(address)
}

fn number_of_threads(pid: c_int) -> Option<u32> {
    Status::of(pid).ok()?.number("Threads", 0)
}

/// Returns whether a trap waits to be reported for the process's first thread. One that the thread blocks is not
/// reported when it runs; a breakpoint's cannot be blocked.
fn is_trap_pending(pid: c_int) -> bool {
    let status = Status::of(pid).unwrap_or_default();
    let has_trap = |name| {
        let mask = status.field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask >> (libc::SIGTRAP - 1) & 1 == 1)
    };
    has_trap("SigPnd") && !has_trap("SigBlk")
}
