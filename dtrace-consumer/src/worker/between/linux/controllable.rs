//! Limits which processes libdtrace controls on Linux.
//!
//! libdtrace attaches to a process, and opens its memory, whenever a script names one: by a probe
//! with a process id, or to find the names of `ustack()`, `uaddr()`, `usym()`, `umod()` and
//! `ufunc()`. Attaching stops the process. libdtrace then sets breakpoints in its dynamic linker.
//! If it cannot attach, it takes names from the files that the kernel shows of the process.
//!
//! So this module comes between libdtrace and the kernel. It replaces two functions that libdtrace calls:
//! `open64`, which fails for the memory of other processes, because libdtrace then does not try to
//! attach; and `ptrace`, which fails to attach. So it does not matter how a script names a process.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

use crate::worker::between::called_function;
use crate::worker::between::controllable::{Controllable, may_control};

type Open = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
type Ptrace = unsafe extern "C" fn(c_uint, c_int, *mut c_void, *mut c_void) -> c_long;

static OPEN: OnceLock<Open> = OnceLock::new();
static PTRACE: OnceLock<Ptrace> = OnceLock::new();

/// Limits what the libdtrace that contains `inside` may control. If it may control nothing, the kernel also refuses
/// ptrace(2) to this whole process.
///
/// # Errors
/// libdtrace does not call the functions as expected, or the kernel has no system call filters.
pub(crate) fn limit_control(inside: usize, controllable: Controllable) -> io::Result<()> {
    controllable.set();
    if controllable == Controllable::None {
        forbid_ptrace()?;
    }
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. Both functions have variable
    // arguments. `open64` has at most one, an integer; it is passed like that of `Open`, and ignored unless a file is
    // created. To `ptrace` libdtrace always passes all four, which are passed like those of `Ptrace`.
    unsafe {
        called_function::intercept(inside, c"open64", &OPEN, opens)?;
        called_function::intercept(inside, c"ptrace", &PTRACE, controls)
    }
}

/// Makes the kernel refuse the system calls that control other processes, for all threads of this process.
fn forbid_ptrace() -> io::Result<()> {
    let calls = [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
    let rules = calls.map(|call| (call, Vec::new())).into_iter().collect();
    let machine = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)?;
    apply_filter_all_threads(&filter).map_err(io::Error::other)
}

/// Takes the place of `open64` for libdtrace.
unsafe extern "C" fn opens(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // They are set before this function's address is.
    let Some(open) = OPEN.get() else { return -1 };
    // SAFETY: the path is null or a C string, as open(2) requires.
    let path_bytes = unsafe { (!path.is_null()).then(|| CStr::from_ptr(path)) };
    let refused = path_bytes
        .is_some_and(|path| process_of(path.to_bytes()).is_some_and(|pid| !may_control(pid)));
    if refused {
        Errno::EPERM.set();
        return -1;
    }
    // SAFETY: it is the caller's call.
    unsafe { open(path, flags, mode) }
}

/// Takes the place of `ptrace` for libdtrace.
unsafe extern "C" fn controls(
    request: c_uint,
    pid: c_int,
    address: *mut c_void,
    data: *mut c_void,
) -> c_long {
    let Some(ptrace) = PTRACE.get() else { return -1 };
    // Any other request needs a process that is attached to.
    let attaches = matches!(request, libc::PTRACE_ATTACH | libc::PTRACE_SEIZE);
    if attaches && !may_control(pid) {
        Errno::EPERM.set();
        return -1;
    }
    // SAFETY: it is the caller's call.
    unsafe { ptrace(request, pid, address, data) }
}

/// Returns the process whose memory the path leads to, or -1 if the path does not contain its PID.
fn process_of(path: &[u8]) -> Option<i32> {
    let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let process = (parts.next()? == b"proc").then(|| parts.next())??;
    if parts.next_back()? != b"mem" {
        return None;
    }
    Some(std::str::from_utf8(process).ok().and_then(|number| number.parse().ok()).unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_found_however_it_is_written() {
        for (path, pid) in [
            ("/proc/12/mem", Some(12)),
            ("//proc///12//mem", Some(12)),
            ("/proc/12/task/13/mem", Some(12)),
            ("/proc/self/mem", Some(-1)),
            ("/proc/99999999999/mem", Some(-1)),
            ("/proc/12/maps", None),
            ("/proc/12/exe", None),
            ("/proc/12", None),
            ("/proc", None),
            ("/home/proc/12/mem", None),
            ("", None),
        ] {
            assert_eq!(process_of(path.as_bytes()), pid, "{path}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn a_filtered_process_cannot_ask_for_control() {
        let attach =
            || nix::sys::ptrace::seize(nix::unistd::getppid(), nix::sys::ptrace::Options::empty());
        // The filter is of one process, which ends with this test's own.
        const DO: &str = "DTRACE_CONSUMER_TEST_NO_PTRACE";
        if std::env::var_os(DO).is_some() {
            forbid_ptrace().expect("it can be forbidden");
            assert_eq!(attach(), Err(Errno::EPERM));
            crate::worker::own_process::end(77);
        }
        let exe = std::env::current_exe().expect("this test's executable");
        let name = "a_filtered_process_cannot_ask_for_control";
        let done = std::process::Command::new(exe).arg(name).env(DO, "1").output();
        let done = done.expect("starting the test");
        assert_eq!(done.status.code(), Some(77), "{done:?}");
    }
}
