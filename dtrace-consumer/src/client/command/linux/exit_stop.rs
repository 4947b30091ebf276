//! Stops a command at its end until its symbols have been looked up.
//!
//! Functions are found by a process's memory map, which disappears with the process. A tracer can stop the
//! process at exit, while its memory still exists. For that the command is seized, not traced from its start:
//! seizing leaves job control as it is, passes signals on, and lets the process be stopped and continued.
//!
//! If this process ends, the kernel detaches the command. A program that raises its privileges does not get
//! them while an unprivileged process traces it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::ptr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::client::child::Signals;
use crate::client::command::stops::pid_of;
use crate::client::lossy::read_lossy;

/// How long to wait for the kernel to report a change, before polling for one that it reported to
/// another thread.
const LOOK: Duration = Duration::from_millis(100);

/// Continues a stopped child of this process and waits for its end. Calls `at_exit` while the child is
/// stopped there.
///
/// If the child cannot be seized, it runs without that stop. If another thread of the program waits
/// for all children, the kernel may report a stop only to that thread. So this also polls for
/// stops, and reads the status at the exit, for kernels that do not keep it.
pub(in crate::client) fn run_to_exit(
    child: &Child,
    signals: &Signals,
    at_exit: impl FnOnce(),
) -> io::Result<ExitStatus> {
    let pid = pid_of(child)?;
    // It may still be on its way to the stop, and a continuation that comes before would be lost.
    // Nobody else would continue it.
    wait_until_stopped(pid).inspect_err(|_| signals.kill_and_reap(child.id()))?;
    // It fails if a debugger was faster, or a security module forbids it.
    let _ = ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT);
    signals.send(Signal::SIGCONT);
    let mut at_exit = Some(at_exit);
    let mut status_at_exit = None;
    // Nobody else would let it pass its stops.
    let changes = Changes::of(pid).inspect_err(|_| signals.kill_and_reap(child.id()))?;
    loop {
        let change = match changes.next(signals, pid) {
            Ok(status) if has_ended(status) => return Ok(ExitStatus::from_raw(status)),
            Ok(status) => status,
            // Another thread has waited for it.
            Err(error) => return signals.kept_status().or(status_at_exit).ok_or(error),
        };
        let signal = libc::WSTOPSIG(change);
        match change >> 16 {
            libc::PTRACE_EVENT_EXIT => {
                let status = ptrace::getevent(pid).ok().and_then(|it| i32::try_from(it).ok());
                status_at_exit = status.map(ExitStatus::from_raw);
                if let Some(look) = at_exit.take() {
                    look();
                }
                go_on(libc::PTRACE_CONT, pid, 0);
            }
            libc::PTRACE_EVENT_STOP if is_stop(signal) => go_on(libc::PTRACE_LISTEN, pid, 0),
            libc::PTRACE_EVENT_STOP => go_on(libc::PTRACE_CONT, pid, 0),
            _ => go_on(libc::PTRACE_CONT, pid, signal),
        }
    }
}

/// Changes of a child's state, in the form of wait(2).
struct Changes {
    told: Receiver<io::Result<()>>,
    /// Lets the waiting thread wait again, after the change that it reported has been handled.
    dealt_with: Sender<()>,
}

impl Changes {
    /// Starts a thread that waits for changes of the child.
    fn of(pid: Pid) -> io::Result<Changes> {
        let (tell, told) = crossbeam_channel::bounded(0);
        let (dealt_with, next) = crossbeam_channel::bounded(1);
        std::thread::Builder::new().name("dtrace-wait".to_owned()).spawn(move || {
            while tell.send(wait_for_change(pid)).is_ok() && next.recv().is_ok() {}
        })?;
        Ok(Changes { told, dealt_with })
    }

    /// Returns the next change, and reaps the child if it has ended. Fails if another thread has reaped it.
    fn next(&self, signals: &Signals, pid: Pid) -> io::Result<i32> {
        loop {
            let status = match self.told.recv_timeout(LOOK) {
                Ok(Ok(())) => {
                    let ended = |status: &io::Result<Option<i32>>| matches!(status, Ok(Some(status)) if has_ended(*status));
                    let status = signals.during_wait(|| wait(pid), ended)?;
                    // There is room: the thread reports once for each of these.
                    let _ = self.dealt_with.send(());
                    status
                }
                Ok(Err(error)) => return Err(error),
                // Reported to another thread, if at all.
                Err(_) => untold(pid),
            };
            // Another thread may have been faster.
            if let Some(status) = status {
                return Ok(status);
            }
        }
    }
}

/// Returns the state of a child that is stopped for its tracer, in the form of wait(2).
fn untold(pid: Pid) -> Option<i32> {
    let information = ptrace::getsiginfo(pid).ok()?;
    // The origin of an ordinary signal is below or above.
    let event = information.si_code >> 8;
    let event = if (1..=libc::PTRACE_EVENT_STOP).contains(&event) { event } else { 0 };
    Some(event << 16 | information.si_signo << 8 | 0x7f)
}

/// Waits until the child is stopped, whichever thread the kernel reports it to.
fn wait_until_stopped(pid: Pid) -> io::Result<()> {
    loop {
        let stat = read_lossy(format!("/proc/{pid}/stat"))?;
        match stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next()) {
            Some('T' | 't' | 'Z' | 'X') => return Ok(()),
            _ => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

fn is_stop(signal: i32) -> bool {
    [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal)
}

fn has_ended(status: i32) -> bool {
    libc::WIFEXITED(status) || libc::WIFSIGNALED(status)
}

/// Waits until the process stops or ends, without reaping it.
fn wait_for_change(pid: Pid) -> io::Result<()> {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL;
    loop {
        // SAFETY: all fields of the structure are integers, for which zeros are valid.
        let mut change: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = pid.as_raw().unsigned_abs();
        // SAFETY: waitid writes only the structure, which outlives the call.
        match unsafe { libc::waitid(libc::P_PID, id, &raw mut change, flags) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(()),
        }
    }
}

/// Returns a change, if there is one.
fn wait(pid: Pid) -> io::Result<Option<i32>> {
    let options = libc::__WALL | libc::WUNTRACED | libc::WNOHANG;
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes only the status, which outlives the call.
        match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, options) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            0 => return Ok(None),
            _ => return Ok(Some(status)),
        }
    }
}

/// Resumes a stopped process. It fails only if the process was killed meanwhile; the next wait reports that.
fn go_on(request: libc::c_uint, pid: Pid, signal: i32) {
    let signal = ptr::without_provenance_mut::<libc::c_void>(signal.unsigned_abs() as usize);
    // SAFETY: these requests neither read nor write memory of this process.
    unsafe { libc::ptrace(request, pid.as_raw(), ptr::null_mut::<libc::c_void>(), signal) };
}
