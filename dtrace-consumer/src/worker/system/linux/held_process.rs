//! Attaches libdtrace to a command that the client holds, and continues it.
//!
//! The client holds it at its exec or at a gate.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Signal, pidfd_send_signal};

use super::processes::{belongs_to, watch_process};
use super::status::Status;
use crate::stream::job::Gate;

/// How often to check whether a process that is not a child has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long libdtrace may take to let go of a process.
const LONGEST: Duration = Duration::from_secs(30);

/// The memory of processes at a gate, which was opened before this process was confined; or why it was not.
static MEMORIES: Mutex<BTreeMap<i32, io::Result<File>>> = Mutex::new(BTreeMap::new());

/// Continues the process up to its gate, where it spins. If `owner` is given, it must belong to that user.
pub(crate) fn let_run_to_gate(pid: i32, owner: Option<u32>) {
    // It fails only if the process is gone or another's by now. Then the next step fails, too.
    let _ = watch_process(pid).map(|process| {
        // The number may be another process's by now, but the descriptor stays with this one.
        if !is_foreign(pid, owner) {
            let _ = pidfd_send_signal(process, Signal::CONT);
        }
    });
}

/// Does nothing: a process whose gate was not opened waits there until the consumer kills it.
pub(crate) fn end_held(_: i32) {}

/// Returns whether this process traces the given one, as a debugger does.
pub(crate) fn is_traced(pid: i32) -> bool {
    let status = Status::of(pid).unwrap_or_default();
    let tracer = status.number("TracerPid", 0).filter(|id| *id != 0);
    // A process that has ended stays traced until it is waited for.
    if status.field("State").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return false;
    }
    // The tracer is a thread, which has its own id.
    tracer.is_some_and(|thread| Path::new(&format!("/proc/self/task/{thread}")).exists())
}

/// Opens what [`open_gate`] needs of a process: a confined worker opens no file for writing.
pub(super) fn prepare_to_open_gate(pid: i32, owner: u32) {
    let memory = memory_unless(pid, || is_foreign(pid, Some(owner)));
    MEMORIES.lock().insert(pid, memory);
}

/// Opens the gate. If `owner` is given, the process must belong to that user.
pub(crate) fn open_gate(pid: i32, gate: &Gate, owner: Option<u32>) -> io::Result<()> {
    let prepared = MEMORIES.lock().remove(&pid);
    let memory = prepared.unwrap_or_else(|| memory_unless(pid, || is_foreign(pid, owner)))?;
    memory.write_all_at(&gate.opening, gate.address)
}

/// Returns whether a process does not belong to the user who alone may own it.
fn is_foreign(pid: i32, owner: Option<u32>) -> bool {
    owner.is_some_and(|owner| !belongs_to(pid, owner))
}

/// Opens the memory of a process for writing, unless the process is somebody else's.
fn memory_unless(pid: i32, is_foreign: impl Fn() -> bool) -> io::Result<File> {
    // Another process may have this number by now. The open file refers to the memory of the program that runs
    // when it is opened. One with more privilege that runs before or after is not written to.
    if is_foreign() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let memory = File::options().write(true).open(format!("/proc/{pid}/mem"))?;
    if is_foreign() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(memory)
}

/// Waits until libdtrace lets go of a process, or the process ends. If this process ended first, it would leave
/// breakpoints that nobody handles.
pub(crate) fn outlive(pid: i32) {
    let began = Instant::now();
    while is_traced(pid) && began.elapsed() < LONGEST {
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;

    /// The owner is looked at before the memory is opened and after. The process may become another one at any
    /// time, so each answer counts alone.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn the_gate_of_a_process_that_was_or_has_become_another_users_stays_shut() {
        let own = std::process::id().cast_signed();
        for (answers, is_opened) in [
            ([false, false], true),
            ([true, false], false),
            ([false, true], false),
            ([true, true], false),
        ] {
            let word = AtomicU32::new(0);
            let address = word.as_ptr().expose_provenance() as u64;
            let gate = Gate { address, opening: vec![1, 0, 0, 0] };
            let asked = Cell::new(0);
            let is_foreign = || answers[asked.replace(asked.get() + 1).min(1)];
            let result = memory_unless(own, is_foreign)
                .and_then(|memory| memory.write_all_at(&gate.opening, gate.address));
            let expected = if is_opened { Ok(()) } else { Err(io::ErrorKind::PermissionDenied) };
            assert_eq!(result.map_err(|error| error.kind()), expected, "{answers:?}");
            assert_eq!(word.load(Ordering::Relaxed) != 0, is_opened, "{answers:?}");
        }
    }

    /// By then the number may be another process's.
    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn only_a_process_of_the_owner_is_continued() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep(1) is installed");
        let pid = child.id().cast_signed();
        let own = nix::unistd::geteuid().as_raw();
        let stop = || {
            nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::SIGSTOP).expect("a child");
            let stopped = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WSTOPPED));
            assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))), "{stopped:?}");
        };
        // A child that is continued can be waited for at once.
        let is_continued = || {
            let flags = WaitPidFlag::WCONTINUED | WaitPidFlag::WNOHANG;
            waitpid(Pid::from_raw(pid), Some(flags)).expect("a child")
                == WaitStatus::Continued(Pid::from_raw(pid))
        };
        for (owner, expected) in [(Some(own), true), (None, true), (Some(own + 1), false)] {
            stop();
            let_run_to_gate(pid, owner);
            assert_eq!(is_continued(), expected, "{owner:?}");
        }
        child.kill().and_then(|()| child.wait()).expect("a child");
    }
}
