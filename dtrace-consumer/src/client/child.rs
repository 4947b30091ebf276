//! A child process that one thread waits for and others may signal.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::system::ProcessHandle;

/// Sends signals to a child, never to another process that has got its number, even if something else in this
/// process reaps its children.
#[derive(Debug, Clone)]
pub(super) struct Signals(Arc<Mutex<Option<ProcessHandle>>>);

impl Signals {
    pub(super) fn to(child: &Child) -> io::Result<Signals> {
        Ok(Signals(Arc::new(Mutex::new(Some(ProcessHandle::open(child.id())?)))))
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

    /// Kills the child with this id, and reaps it: nobody else will wait for it.
    pub(super) fn kill_and_reap(&self, id: u32) {
        self.send(Signal::SIGKILL);
        let pid = Pid::from_raw(id.cast_signed());
        let goes_on = |waited| match waited {
            // If this process traces it, it may report a stop first.
            Ok(status) => !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)),
            Err(error) => error == Errno::EINTR,
        };
        self.during_wait(|| while goes_on(waitpid(pid, None)) {}, |()| true);
    }

    /// Waits for the child's end, and reaps it.
    pub(super) fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_raw(child.id().cast_signed());
        loop {
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(Errno::EINTR) => {}
                // If the wait fails, so does the next one, which says why.
                _ => return self.during_wait(|| child.wait(), |_| true),
            }
        }
    }
}
