//! Which processes are there, and when are they gone?

use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::system;

/// How long a test waits before it takes what it waits for as failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `done` holds.
///
/// # Panics
/// If that takes two minutes: the test has failed then.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    wait_or(|| if done() { Ok(()) } else { Err(what.to_owned()) });
}

/// Waits until `done` succeeds; its error says what is still to come.
pub(crate) fn wait_or(mut done: impl FnMut() -> Result<(), String>) {
    let limit = Instant::now() + PATIENCE;
    while let Err(what) = done() {
        assert!(Instant::now() < limit, "after {} s still not: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until this process has no child, not even a zombie. What waits for the next session is ended.
pub fn no_children() {
    dtrace_consumer::cool_down();
    wait_until("no child process remains", || children().is_empty());
}

/// Waits until all processes have ended whose parent ended before, and reaps them as init(8) would. There
/// must be no other children.
///
/// # Panics
/// If one lives for two minutes.
pub fn orphans_ended() {
    dtrace_consumer::cool_down();
    wait_until("all orphans have ended", || {
        while matches!(has_ended(None), Ok(true)) {}
        has_ended(None) == Err(Errno::ECHILD)
    });
}

/// Reaps those of these processes that have ended and were left to this process.
pub(crate) fn reap(orphans: impl IntoIterator<Item = i32>) {
    for pid in orphans {
        let _ = has_ended(Some(Pid::from_raw(pid)));
    }
}

/// Whether this child, or any, has just ended. It is reaped then.
fn has_ended(child: Option<Pid>) -> nix::Result<bool> {
    waitpid(child, Some(WaitPidFlag::WNOHANG)).map(|status| status.pid().is_some())
}

/// The child processes of this process, by number.
#[must_use]
pub fn children() -> Vec<i32> {
    children_of(std::process::id()).collect()
}

/// The child processes of a process, by number.
pub fn children_of(pid: u32) -> impl Iterator<Item = i32> {
    system::children_of(pid).into_iter()
}

/// The children of a process, and theirs.
#[must_use]
pub fn descendants_of(pid: u32) -> Vec<i32> {
    let with_theirs = |child: i32| {
        let theirs = descendants_of(child.unsigned_abs());
        std::iter::once(child).chain(theirs)
    };
    children_of(pid).flat_map(with_theirs).collect()
}

/// Waits until the processes are gone.
///
/// # Panics
/// If one stays for two minutes.
pub fn wait_until_gone(processes: &[i32]) {
    for pid in processes {
        wait_until(&format!("process {pid} is gone"), || !exists(*pid));
    }
}

/// The words of a process's command line, each with a null byte.
#[must_use]
pub fn command_line(pid: i32) -> Vec<u8> {
    system::command_line(pid)
}

/// Whether a process is stopped by a signal.
#[must_use]
pub fn is_stopped(pid: i32) -> bool {
    system::is_stopped(pid)
}

/// Whether a process is there, and no zombie.
#[must_use]
pub fn lives(pid: i32) -> bool {
    system::lives(pid)
}

/// Whether a process is there, be it a zombie.
#[must_use]
pub fn exists(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// A child that is killed where the test fails before it has ended.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
