//! FreeBSD: its kernel, and its processes.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use nix::sys::ptrace;
use nix::unistd::{Pid, geteuid};

use crate::error::unavailable::Check;
use crate::kinfo;

/// What permits tracing.
pub(super) const PRIVILEGE: &str = "opening /dev/dtrace/dtrace for reading and writing";

/// How to get it.
pub(super) const GET_IT: &str = "run it as root, for example with sudo, doas or mdo";

/// libdtrace's device.
const DEVICE: &str = "/dev/dtrace/dtrace";

/// Whether a worker can be limited to the processes of the user whom it serves.
pub(super) const LIMITS_CONTROL: bool = true;

/// Returns whether this process may trace.
pub(super) fn may_trace() -> bool {
    geteuid().is_root() || may_open()
}

/// Returns whether the device exists, and this process may read and write it. Opening it would use it.
fn may_open() -> bool {
    nix::unistd::access(DEVICE, nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::W_OK)
        .is_ok()
}

/// Checks the requirements on the kernel.
pub(super) fn kernel() -> Vec<Check> {
    vec![hooks(), device()]
}

/// Checks whether the kernel can be traced at all. Modules are of no use to one that cannot.
fn hooks() -> Check {
    match feature("kern.features.kdtrace_hooks") {
        Ok(1) => Check::met("kernel", "it has DTrace's hooks"),
        Ok(_) | Err(_) => Check::unmet(
            "kernel",
            "it has no hooks for DTrace",
            "boot a kernel with the option KDTRACE_HOOKS, as GENERIC has it",
        ),
    }
}

/// Checks whether the kernel's DTrace is there. libdtrace loads its modules if nobody has.
fn device() -> Check {
    const NAME: &str = "device";
    if Path::new(DEVICE).exists() {
        return Check::met(NAME, DEVICE);
    }
    let jailed = feature("security.jail.jailed") == Ok(1);
    if jailed {
        let detail = "this process is in a jail, which has no device of DTrace";
        return Check::unmet(NAME, detail, "trace outside of the jail");
    }
    if ["/boot/kernel", "/boot/modules"]
        .iter()
        .any(|it| Path::new(it).join("dtraceall.ko").exists())
    {
        return Check::met(NAME, "libdtrace will load the module dtraceall");
    }
    Check::unmet(
        NAME,
        "the module dtraceall is neither loaded nor in /boot/kernel",
        "install the kernel's modules, and load it with `kldload dtraceall`",
    )
}

/// Returns the number that the kernel has under a name.
fn feature(name: &str) -> Result<i32, io::ErrorKind> {
    super::numbers::of_kernel(name).map_err(|error| error.kind())
}

/// Returns which process traces another one, if any does.
pub(in crate::client) fn tracer_of(pid: u32) -> Option<u32> {
    let process = kinfo::process(i32::try_from(pid).ok()?).ok()?;
    u32::try_from(process.ki_tracer).ok().filter(|tracer| *tracer != 0)
}

/// Returns the name of a process.
pub(in crate::client) fn name_of(pid: u32) -> Option<String> {
    let process = kinfo::process(i32::try_from(pid).ok()?).ok()?;
    // Characters have a sign on amd64, and none on arm64.
    let name = process.ki_comm.map(|character| u8::from_ne_bytes(character.to_ne_bytes()));
    let name = CStr::from_bytes_until_nul(&name).ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// Kills a child that this process holds as a debugger does: the kernel lets only a signal that the debugger passes on
/// end it.
pub(super) fn kill_held(pid: Pid) {
    // It fails if the child is not held.
    let _ = ptrace::kill(pid);
}
