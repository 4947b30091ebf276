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
//!
//! For the files in which libdtrace places probes, `open64` returns what was opened before this process was confined.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::io;
use std::os::fd::IntoRawFd;
use std::sync::OnceLock;

use crate::worker::between::called_function;
use crate::worker::between::controllable::{Controllable, may_control};
use crate::worker::system::linux::tracing_files;
use nix::errno::Errno;

type Open = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
type Ptrace = unsafe extern "C" fn(c_uint, c_int, *mut c_void, *mut c_void) -> c_long;

static OPEN: OnceLock<Open> = OnceLock::new();
static PTRACE: OnceLock<Ptrace> = OnceLock::new();

/// Limits what the libdtrace that contains `inside` may control. If it may control nothing, the kernel has refused
/// ptrace(2) to this whole process already.
///
/// # Errors
/// libdtrace does not call the functions as expected.
pub(crate) fn limit_control(inside: usize, controllable: Controllable) -> io::Result<()> {
    controllable.set();
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. Both functions have variable
    // arguments. `open64` has at most one, an integer; it is passed like that of `Open`, and ignored unless a file is
    // created. To `ptrace` libdtrace always passes all four, which are passed like those of `Ptrace`.
    unsafe {
        called_function::intercept(inside, c"open64", &OPEN, opens)?;
        called_function::intercept(inside, c"ptrace", &PTRACE, controls)
    }
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
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let kept = path_bytes.filter(|_| writes).map(CStr::to_bytes).and_then(tracing_files::kept);
    if let Some(kept) = kept {
        return match kept {
            Ok(file) => file.into_raw_fd(),
            Err(error) => {
                Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)).set();
                -1
            }
        };
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
}
