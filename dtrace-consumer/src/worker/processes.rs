//! Watches the processes whose ends end a session.
//!
//! libdtrace reports the ends of those that it is attached to, except that its own thread for a process
//! sometimes misses one and spins. So the kernel is asked as well: a session must end with its last process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::system::watch_process;

/// How long libdtrace may take to report the end of the last process.
const GRACE: Duration = Duration::from_secs(2);

/// The processes of a session.
#[derive(Default)]
pub(super) struct Processes {
    count: usize,
    watched: Vec<Watched>,
    /// Since when all of them have been known to have ended.
    ended: Option<Instant>,
}

struct Watched {
    pid: i32,
    descriptor: OwnedFd,
    /// Whether libdtrace is attached to it, and reports its end.
    attached: bool,
}

impl Processes {
    /// Adds a process that was grabbed.
    pub(super) fn grabbed(&mut self, pid: i32) {
        self.count += 1;
        // Where it has ended already, libdtrace reports that.
        let process = watch_process(pid);
        let process = process.map(|descriptor| Watched { pid, descriptor, attached: true });
        self.watched.extend(process);
    }

    /// Adds a process that was created.
    pub(super) fn created(&mut self, pid: i32, attached: bool) -> io::Result<()> {
        self.count += 1;
        self.watched.push(Watched { pid, descriptor: watch_process(pid)?, attached });
        Ok(())
    }

    /// Returns the processes that have ended without libdtrace being attached to them, each once.
    pub(super) fn unattached_ended(&mut self, reported: &[i32]) -> Vec<i32> {
        let ended = self
            .watched
            .iter()
            .filter(|it| !it.attached && !reported.contains(&it.pid) && ended(&it.descriptor));
        ended.map(|it| it.pid).collect()
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
            self.watched.iter().filter(|it| !reported.contains(&it.pid)).collect();
        if reported.len() + missing.len() < self.count
            || missing.iter().any(|it| !ended(&it.descriptor))
        {
            return None;
        }
        let since = *self.ended.get_or_insert_with(Instant::now);
        (since.elapsed() >= GRACE).then(|| missing.iter().map(|it| it.pid).collect())
    }
}

/// Returns whether the process of this descriptor has ended.
fn ended(process: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
