//! A child process that one thread waits for and others may signal.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use rustix::io::retry_on_intr;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::system::ProcessHandle;

/// How long to wait for a child that was killed.
pub(super) const DYING: Duration = Duration::from_secs(2);

/// The longest pause between two looks whether it has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Sends signals to a child, never to another process that has got its number, even if something else in this
/// process reaps its children.
#[derive(Debug, Clone)]
pub(super) struct Signals(Arc<Mutex<Option<ProcessHandle>>>);

impl Signals {
    /// Takes a child that was just started. If that fails, kills the child.
    #[expect(
        clippy::disallowed_methods,
        reason = "a child without a descriptor is known by its number only"
    )]
    pub(super) fn to(child: &mut Child) -> io::Result<Signals> {
        match ProcessHandle::open(child.id()) {
            Ok(process) => Ok(Signals(Arc::new(Mutex::new(Some(process))))),
            Err(error) => {
                // Unless something else waits for all children, nobody has waited for it, and the number is still
                // its own.
                if error.raw_os_error() != Some(Errno::ESRCH as i32) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                Err(error)
            }
        }
    }

    /// Sends signals to a process that another one waits for.
    pub(super) fn to_process(process: ProcessHandle) -> Signals {
        Signals(Arc::new(Mutex::new(Some(process))))
    }

    /// Sends a signal, unless the child was reaped.
    pub(super) fn send(&self, signal: Signal) {
        if let Some(process) = &*self.0.lock() {
            // It fails only if the child is gone, or may not be signalled: it has changed its user.
            let _ = process.send(signal);
        }
    }

    /// Runs a wait for the child that does not block, because the child has changed its state. The wait reaps
    /// the child if `has_ended` says so of its result.
    pub(super) fn during_wait<T>(
        &self,
        wait: impl FnOnce() -> T,
        has_ended: impl FnOnce(&T) -> bool,
    ) -> T {
        let mut process = self.0.lock();
        let result = wait();
        if has_ended(&result) {
            *process = None;
        }
        result
    }

    /// Kills the child with this id, and reaps it: nobody else will wait for it. If it does not end soon, another thread
    /// goes on waiting: the process may wait for a device, or be stopped by a tracer that hangs.
    pub(super) fn kill_and_reap(&self, id: u32) {
        let pid = Pid::from_raw(id.cast_signed());
        let (began, mut pause) = (Instant::now(), Duration::from_micros(50));
        while began.elapsed() < DYING {
            // Where this process or another one traces it, a signal that comes during a stop may be lost.
            self.send(Signal::SIGKILL);
            let waited =
                self.during_wait(|| waitpid(pid, Some(WaitPidFlag::WNOHANG)), |it| is_over(*it));
            if is_over(waited) {
                return;
            }
            std::thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        let signals = self.clone();
        let wait = move || {
            await_end(id);
            let _ = signals.during_wait(|| waitpid(pid, None), |it| is_over(*it));
        };
        let _ = std::thread::Builder::new().name("dtrace-reaper".to_owned()).spawn(wait);
    }

    /// Waits for the child's end, and reaps it.
    pub(super) fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        await_end(child.id());
        // If the wait has failed, so does this one, which says why.
        let ended = self.during_wait(|| child.wait(), Result::is_ok);
        ended.or_else(|error| self.kept_status().ok_or(error))
    }

    /// Returns how the child ended, if something else has waited for it and the system tells. It cannot be signalled any
    /// more.
    pub(super) fn kept_status(&self) -> Option<ExitStatus> {
        let process = self.0.lock().take()?;
        process.kept_status()
    }

    /// Waits for the end of the child with this id, calls `at_end`, and reaps the child.
    #[cfg(target_os = "freebsd")]
    pub(super) fn wait_for(&self, id: u32, at_end: impl FnOnce()) -> io::Result<ExitStatus> {
        use std::os::unix::process::ExitStatusExt;

        await_end(id);
        at_end();
        let pid = rustix::process::Pid::from_raw(id.cast_signed());
        let options = rustix::process::WaitOptions::empty();
        let ended = self.during_wait(|| rustix::process::waitpid(pid, options), |_| true)?;
        let (_, status) = ended.ok_or(io::ErrorKind::NotFound)?;
        Ok(ExitStatus::from_raw(status.as_raw()))
    }
}

/// Returns whether there is nothing more to wait for.
fn is_over(waited: nix::Result<WaitStatus>) -> bool {
    match waited {
        // If this process traces it, it may report a stop first.
        Ok(status) => matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)),
        Err(error) => error != Errno::EINTR,
    }
}

/// Waits for the end of a child, and leaves it to be reaped.
fn await_end(id: u32) {
    let Some(pid) = rustix::process::Pid::from_raw(id.cast_signed()) else { return };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // If it fails, so does the wait that follows.
    let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
}
