//! illumos: its kernel, and its processes.

use std::process::Command;

use nix::unistd::Pid;

use crate::error::unavailable::Check;

/// What permits tracing.
pub(super) const PRIVILEGE: &str =
    "dtrace_kernel for the kernel, dtrace_proc and dtrace_user for the user's own processes";

/// How to get it.
pub(super) const GET_IT: &str = "run it as root in the global zone, or have an administrator assign the privileges with \
     `usermod -K defaultpriv=basic,dtrace_kernel,dtrace_proc,dtrace_user USER`";

/// Whether a worker can be limited to the processes of the user whom it serves.
pub(super) const LIMITS_CONTROL: bool = false;

/// Returns whether this process may trace.
pub(super) fn may_trace() -> bool {
    // ppriv(1) shows the effective set. Without the program, libdtrace says what is missing.
    let own = std::process::id().to_string();
    let shown = Command::new("/usr/bin/ppriv").args(["-S", &own]).output();
    shown.map_or(true, |it| is_enough(&String::from_utf8_lossy(&it.stdout)))
}

/// Returns whether the effective set, as ppriv(1) shows it, permits tracing anything.
fn is_enough(shown: &str) -> bool {
    let effective = shown.lines().find_map(|line| line.trim().strip_prefix("E: "));
    effective.is_none_or(|set| {
        let mut names = set.split(',');
        names.any(|name| matches!(name, "all" | "zone") || name.starts_with("dtrace_"))
    })
}

/// Checks the requirements on the kernel: none.
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

/// Does nothing: a signal reaches a process that is held.
pub(super) fn kill_held(_: Pid) {}
