//! Watches the processes that libdtrace controls for a session.
//!
//! libdtrace reports their ends, except that its own thread for a process sometimes misses one and spins.
//! So the kernel is asked as well: a session must end with its last process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::system::{CreatedProcess, watch_process};

/// How long libdtrace may take to report the end of the last process.
const GRACE: Duration = Duration::from_secs(2);

/// The processes of a session.
#[derive(Default)]
pub(super) struct Processes {
    count: usize,
    watched: Vec<(i32, OwnedFd)>,
    /// They end with the session.
    created: Vec<CreatedProcess>,
    /// Since when all of them have been known to have ended.
    ended: Option<Instant>,
}

impl Processes {
    /// Adds a process that was grabbed.
    pub(super) fn grabbed(&mut self, pid: i32) {
        self.count += 1;
        // Where it has ended already, libdtrace reports that.
        self.watched.extend(watch_process(pid).map(|process| (pid, process)));
    }

    /// Adds a process that was created. `None` is one whose pid the library does not report.
    pub(super) fn created(&mut self, pid: Option<i32>) -> io::Result<()> {
        self.count += 1;
        if let Some(pid) = pid {
            self.created.push(CreatedProcess::new(pid)?);
            self.watched.push((pid, watch_process(pid)?));
        }
        Ok(())
    }

    /// Returns, if all processes have ended, those whose end libdtrace has not reported. `reported` has the
    /// others.
    pub(super) fn all_ended(&mut self, reported: &[i32]) -> Option<Vec<i32>> {
        if self.count == 0 {
            return None;
        }
        if reported.len() >= self.count {
            return Some(Vec::new());
        }
        let missing: Vec<_> =
            self.watched.iter().filter(|(pid, _)| !reported.contains(pid)).collect();
        if reported.len() + missing.len() < self.count || missing.iter().any(|(_, it)| !ended(it)) {
            return None;
        }
        let since = *self.ended.get_or_insert_with(Instant::now);
        (since.elapsed() >= GRACE).then(|| missing.iter().map(|(pid, _)| *pid).collect())
    }
}

/// Returns whether the process of this descriptor has ended.
fn ended(process: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
