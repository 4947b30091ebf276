//! macOS: its kernel, and its processes.

use nix::sys::ptrace;
use nix::unistd::{Pid, geteuid};

use crate::error::unavailable::Check;

/// What permits tracing.
pub(super) const PRIVILEGE: &str = "opening /dev/dtrace";

/// How to get it.
pub(super) const GET_IT: &str = "run it as root, for example with sudo";

/// Whether a worker can be limited to the processes of the user whom it serves.
pub(super) const LIMITS_CONTROL: bool = false;

/// Returns whether this process may trace.
pub(super) fn may_trace() -> bool {
    geteuid().is_root()
}

/// Checks the requirements on the kernel. What System Integrity Protection restricts, only libdtrace finds out.
pub(super) fn kernel() -> Vec<Check> {
    Vec::new()
}

/// Returns `None`: which process traces another one is not looked up here.
pub(in crate::client) fn tracer_of(_: u32) -> Option<u32> {
    None
}

/// Returns `None`: no name is looked up here.
pub(in crate::client) fn name_of(_: u32) -> Option<String> {
    None
}

/// Kills a child that this process holds as a debugger does.
pub(super) fn kill_held(pid: Pid) {
    // It fails if the child is not held.
    let _ = ptrace::kill(pid);
}
