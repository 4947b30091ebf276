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
        await_end(child.id());
        // If the wait has failed, so does this one, which says why.
        self.during_wait(|| child.wait(), |_| true)
    }

    /// Waits for the end of the child with this id, calls `at_end`, and reaps the child.
    #[cfg(target_os = "freebsd")]
    pub(super) fn wait_for(&self, id: u32, at_end: impl FnOnce()) -> io::Result<ExitStatus> {
        use std::os::unix::process::ExitStatusExt;

        await_end(id);
        at_end();
        let wait = || loop {
            match waitpid(Pid::from_raw(id.cast_signed()), None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, code)) => return Ok(ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(_, signal, dumped)) => {
                    let core = if dumped { 0x80 } else { 0 };
                    return Ok(ExitStatus::from_raw(signal as i32 | core));
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.during_wait(wait, |_| true)
    }
}

/// Waits for the end of a child, and leaves it to be reaped.
fn await_end(id: u32) {
    let pid = Pid::from_raw(id.cast_signed());
    let ended = || waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    while ended() == Err(Errno::EINTR) {}
}
