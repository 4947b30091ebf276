//! How does the stand-in attach to a process as the real library does, and let go of it slowly?

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::state;
use crate::plan::RELEASED;

/// The process that this library is attached to; 0 without one.
static ATTACHED: AtomicI32 = AtomicI32::new(0);

/// Attaches to a process if the plan says so. Returns whether nothing is in the way.
pub(super) fn attach(pid: i32) -> bool {
    if state::plan().attached.is_none() {
        return true;
    }
    if !seize(pid) {
        return false;
    }
    ATTACHED.store(pid, Ordering::Relaxed);
    stop(pid);
    request(libc::PTRACE_CONT, pid)
}

/// Attaches to a process. Returns whether that was possible.
#[cfg(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")))]
pub(super) fn seize(pid: i32) -> bool {
    request(libc::PTRACE_SEIZE, pid)
}

/// Attaches to a process. Returns whether that was possible; if not, the library has an error.
#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
pub(super) fn seize(pid: i32) -> bool {
    let result = proc_attach(pid);
    if result != 0 {
        state::STATE.lock().expect("nobody panics").error = -result;
    }
    result == 0
}

/// Attaches to a process. On FreeBSD this is a function of libproc, which libdtrace uses. Returns the negative number of an
/// error.
#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
#[unsafe(no_mangle)]
extern "C" fn proc_attach(pid: i32) -> i32 {
    // SAFETY: this request touches no memory of this process.
    if unsafe { ptrace(libc::PTRACE_SEIZE, pid) } == 0 {
        return 0;
    }
    -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Calls the C library through the table in which the worker replaces the address.
///
/// # Safety
/// As for ptrace(2), without an address and data.
#[cfg(all(
    target_arch = "x86_64",
    any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")
))]
unsafe fn ptrace(request: libc::c_uint, pid: i32) -> i64 {
    let result;
    // SAFETY: the registers are those of a call with these arguments, as the caller promises.
    unsafe {
        std::arch::asm!("call ptrace@PLT", in("edi") request, in("esi") pid, in("rdx") 0, in("rcx") 0,
            lateout("rax") result, clobber_abi("C"));
    }
    result
}

/// Calls the C library.
///
/// # Safety
/// As for ptrace(2), without an address and data.
#[cfg(all(
    not(target_arch = "x86_64"),
    any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")
))]
unsafe fn ptrace(request: libc::c_uint, pid: i32) -> i64 {
    let nothing = std::ptr::null_mut::<std::ffi::c_void>();
    // SAFETY: as the caller promises.
    unsafe { libc::ptrace(request, pid, nothing, nothing) }
}

/// Lets go of the process after the time that the plan says.
pub(super) fn release() {
    let pid = ATTACHED.swap(0, Ordering::Relaxed);
    let Some(milliseconds) = state::plan().attached.filter(|_| pid != 0) else { return };
    std::thread::sleep(Duration::from_millis(milliseconds));
    // As soon as the process is free, this one may end.
    state::note(RELEASED);
    stop(pid);
    request(libc::PTRACE_DETACH, pid);
}

/// Stops the process, and waits for that.
fn stop(pid: i32) {
    request(libc::PTRACE_INTERRUPT, pid);
    let mut status = 0;
    // SAFETY: the call only writes the status.
    unsafe { waitpid(pid, &raw mut status, libc::__WALL) };
}

/// Calls the C library as compilers for C do: through the table in which the worker replaces the address.
///
/// # Safety
/// As for waitpid(2).
#[cfg(target_arch = "x86_64")]
unsafe fn waitpid(pid: i32, status: *mut i32, options: i32) {
    // SAFETY: the registers are those of a call with these arguments, as the caller promises.
    unsafe {
        std::arch::asm!("call waitpid@PLT", in("edi") pid, in("rsi") status, in("edx") options,
            clobber_abi("C"));
    }
}

/// Calls the C library.
///
/// # Safety
/// As for waitpid(2).
#[cfg(not(target_arch = "x86_64"))]
unsafe fn waitpid(pid: i32, status: *mut i32, options: i32) {
    // SAFETY: as the caller promises.
    unsafe { libc::waitpid(pid, status, options) };
}

/// Returns whether the kernel has done it. A library whose table names `ptrace` must call all that the worker
/// replaces in such a library, so this does not call the C library's function, which some linkers put there.
fn request(request: libc::c_uint, pid: i32) -> bool {
    let nothing: libc::c_long = 0;
    let (request, pid) = (libc::c_long::from(request), libc::c_long::from(pid));
    // SAFETY: these requests touch no memory of this process.
    unsafe { libc::syscall(libc::SYS_ptrace, request, pid, nothing, nothing) == 0 }
}
