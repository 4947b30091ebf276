//! Watches the processes whose ends end a session.
//!
//! On Linux, libdtrace reports the end of each process that it is attached to, except that its own thread for
//! a process sometimes misses it and spins. Elsewhere it does not say which process has ended. So the worker asks
//! the kernel as well: a session must end with its last process. libdtrace also considers a process that executes a
//! program to have ended (`between/linux/attachments.rs`); the worker reports its end when it really ends.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};

use super::between::was_let_go;
use super::encode::encoder::Encoder;
use super::libdtrace::REPORTS_ENDS;
use super::system::{end_of, watch_process};
use crate::data::session_info::ProcessEvent;
use crate::stream::frame::Frame;

/// How often to look for ends that nobody has asked after and libdtrace has not reported. A look is a system call for each
/// process, and each record may wake the worker.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// How long libdtrace may take to report the end of the last process.
const GRACE: Duration = Duration::from_secs(2);

/// The processes of a session.
#[derive(Default)]
pub(super) struct Processes {
    known: Vec<i32>,
    /// Those whose end has been reported to the consumer.
    reported: Vec<i32>,
    /// Those that libdtrace considers ended, but that may still run.
    let_go: Vec<(i32, OwnedFd)>,
    watched: Vec<Watched>,
    /// When they were last looked at.
    looked: Option<Instant>,
    /// Since when all of them have been known to have ended.
    ended: Option<Instant>,
}

struct Watched {
    pid: i32,
    descriptor: OwnedFd,
    /// Whether libdtrace reports its end, because it is attached to it.
    attached: bool,
}

impl Processes {
    /// Returns whether a process has been added.
    pub(super) fn contain(&self, pid: i32) -> bool {
        self.known.contains(&pid)
    }

    /// Adds a process that was grabbed.
    pub(super) fn grabbed(&mut self, pid: i32) {
        self.known.push(pid);
        // Where it has ended already, libdtrace reports that.
        let process = watch_process(pid);
        let process = process.map(|descriptor| Watched { pid, descriptor, attached: REPORTS_ENDS });
        self.watched.extend(process);
    }

    /// Adds a process that was created. `attached` is whether libdtrace is attached to it.
    pub(super) fn created(&mut self, pid: i32, attached: bool) -> io::Result<()> {
        self.known.push(pid);
        let attached = attached && REPORTS_ENDS;
        self.watched.push(Watched { pid, descriptor: watch_process(pid)?, attached });
        Ok(())
    }

    /// Reports the processes that have ended. Returns whether all processes of the session are known to have ended. If
    /// nobody has `asked`, an end that libdtrace does not report may be found a little later.
    pub(super) fn report_ends(&mut self, encoder: &mut Encoder, asked: bool, now: Instant) -> bool {
        let gone = encoder.take_processes_gone();
        let is_recent = |at| now.saturating_duration_since(at) < LOOK_AFTER;
        if REPORTS_ENDS && !asked && gone.is_empty() && self.looked.is_some_and(is_recent) {
            return false;
        }
        self.looked = Some(now);
        for pid in gone {
            match watch_process(pid).ok().filter(|_| was_let_go(pid)) {
                Some(process) => self.let_go.push((pid, process)),
                None => self.report(pid, encoder),
            }
        }
        let (over, still): (Vec<_>, Vec<_>) =
            self.let_go.drain(..).partition(|(_, process)| ended(process));
        self.let_go = still;
        over.into_iter().for_each(|(pid, _)| self.report(pid, encoder));
        // libdtrace does not report those that it is not attached to.
        let unattached = self
            .watched
            .iter()
            .filter(|it| !it.attached && !self.reported.contains(&it.pid) && ended(&it.descriptor));
        let unattached: Vec<i32> = unattached.map(|it| it.pid).collect();
        unattached.into_iter().for_each(|pid| self.report(pid, encoder));
        if let Some(missing) = self.missing() {
            missing.into_iter().for_each(|pid| self.report(pid, encoder));
            return true;
        }
        false
    }

    fn report(&mut self, pid: i32, encoder: &mut Encoder) {
        encoder.send(&Frame::Process(ProcessEvent { pid, gone: true, message: None }));
        self.reported.push(pid);
    }

    /// If all processes have ended, returns those whose end nobody has reported.
    fn missing(&mut self) -> Option<Vec<i32>> {
        let count = self.reported.len();
        if self.known.is_empty() || count >= self.known.len() {
            return (!self.known.is_empty()).then(Vec::new);
        }
        let missing: Vec<_> =
            self.watched.iter().filter(|it| !self.reported.contains(&it.pid)).collect();
        if count + missing.len() < self.known.len()
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
    poll(&mut [end_of(process)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "processes")]
    fn an_end_is_found_when_it_is_asked_after_and_otherwise_a_little_later() {
        let (channel, _consumer) = UnixStream::pair().expect("sockets");
        let mut encoder = Encoder::new(channel);
        let start = Instant::now();
        for (asked, later, found) in [
            (true, Duration::ZERO, true),
            (false, LOOK_AFTER, true),
            (false, LOOK_AFTER / 2, !REPORTS_ENDS),
        ] {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
            let mut processes = Processes::default();
            let pid = child.id().cast_signed();
            processes.created(pid, false).expect("it runs");
            assert!(!processes.report_ends(&mut encoder, false, start), "it has not ended");
            child.wait().expect("its input ends");
            let ended = processes.report_ends(&mut encoder, asked, start + later);
            assert_eq!(ended, found, "asked: {asked}, {later:?} later");
        }
    }
}
