//! How does libdtrace attach to a command that its parent holds, and how does that go on?
//!
//! The client holds it at its exec or behind a gate.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::processes::belongs_to;
use crate::stream::job::Gate;

/// How often to look whether a process has ended that this one is not the parent of.
const LOOK: Duration = Duration::from_millis(20);

/// Lets the process run to its gate, where it spins.
pub(crate) fn let_run_to_gate(pid: i32) {
    // It fails only if the process is gone, and then the next step fails, too.
    let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
}

/// Whether this process is the one that traces it, as a debugger does.
pub(crate) fn is_traced(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    let tracer: Option<u32> = tracer.and_then(|id| id.trim().parse().ok()).filter(|id| *id != 0);
    // The tracer is a thread, with an id of its own.
    tracer.is_some_and(|thread| Path::new(&format!("/proc/self/task/{thread}")).exists())
}

/// Opens the gate, of a process that belongs to `owner` if one is named.
pub(crate) fn open_gate(pid: i32, gate: &Gate, owner: Option<u32>) -> io::Result<()> {
    let memory = File::options().write(true).open(format!("/proc/{pid}/mem"))?;
    // What was opened stays the memory of the program that runs now. Should it be another one by now,
    // with more privilege, then it is not written to.
    if owner.is_some_and(|owner| !belongs_to(pid, owner)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    memory.write_all_at(&gate.opening, gate.address)
}

/// Waits for the end of a process that libdtrace has attached to. Were this process to end before, it
/// would leave breakpoints behind that nobody answers.
pub(crate) fn outlive(pid: i32) {
    while is_traced(pid) {
        std::thread::sleep(LOOK);
    }
}
