//! How long does the consumer wait for a silent worker?
//!
//! A worker that traces sends something about every ten seconds even if nothing fires, and at least every 30 s
//! however long libdtrace's own intervals are. While it starts, and after a request to stop, a single step may take
//! long. If the worker stays silent for longer than the limit, libdtrace hangs in a call, or something has stopped
//! the process.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::decode::stop::Ending;

/// How long a worker may be silent by default: longer than any step takes on slow machines.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(300);

/// The default and the minimum of the limit while tracing: several times the interval of a live
/// worker's messages.
pub(crate) const WHILE_TRACING: Duration = Duration::from_secs(60);

/// How often to check whether the worker has been asked to stop.
const GLANCE: Duration = Duration::from_secs(1);

/// A channel that times out when its worker is silent for too long.
pub(crate) struct Patient {
    channel: UnixStream,
    limit: Duration,
    /// While tracing: the limit, until the worker is asked to end.
    tracing: Option<(Duration, Arc<Ending>)>,
    /// Each of its bytes ends a read.
    woken: Option<UnixStream>,
    was_woken: bool,
    /// Since when nothing was there to read. Reads that are woken do not end the silence.
    silent_since: Option<Instant>,
}

/// What a look at the channel has yielded.
enum Look {
    /// As many bytes; none at its end.
    Read(usize),
    Nothing,
    Woken,
}

impl Patient {
    pub(crate) fn new(channel: UnixStream, limit: Duration) -> io::Result<Patient> {
        channel.set_read_timeout(Some(GLANCE.min(limit).max(Duration::from_millis(1))))?;
        Ok(Patient {
            channel,
            limit,
            tracing: None,
            woken: None,
            was_woken: false,
            silent_since: None,
        })
    }

    /// Marks that tracing is on. The worker may be silent up to `limit` until it is asked to end.
    pub(crate) fn tracing(&mut self, limit: Duration, ending: Arc<Ending>) {
        self.tracing = Some((limit, ending));
    }

    /// Lets each byte of `woken` end a read, which then fails with [`ErrorKind::WouldBlock`].
    pub(crate) fn wake_by(&mut self, woken: UnixStream) {
        self.woken = Some(woken);
    }

    /// Reads from the channel, unless it is woken: at once while there is nothing to read, and every second time
    /// if there is, so that neither of the two keeps the other waiting.
    fn look(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        if let Some(woken) = &mut self.woken {
            let mut watched = [self.channel.as_fd(), woken.as_fd()]
                .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
            let glance = PollTimeout::try_from(GLANCE).unwrap_or(PollTimeout::ZERO);
            if poll(&mut watched, glance)? == 0 {
                return Ok(Look::Nothing);
            }
            let [has_data, is_woken] = watched.map(|it| it.any().unwrap_or(true));
            self.was_woken = is_woken && !(has_data && self.was_woken);
            if self.was_woken {
                // The other end may be closed.
                if !matches!(woken.read(&mut [0]), Ok(1)) {
                    self.woken = None;
                }
                return Ok(Look::Woken);
            }
        }
        match self.channel.read(buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Look::Nothing),
            read => read.map(Look::Read),
        }
    }

    /// Returns whether the channel has data, or has ended.
    fn has_data(&self) -> bool {
        let mut channel = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        // If the look fails, so does the next read.
        poll(&mut channel, PollTimeout::ZERO) != Ok(0)
    }

    /// Marks that the worker should end soon.
    pub(crate) fn hurry(&mut self, limit: Duration) {
        self.woken = None;
        self.tracing = None;
        self.silent_since = None;
        self.limit = self.limit.min(limit);
    }

    /// Returns whether the worker should have sent something between the time when the wait `began` and `now`.
    fn is_overdue(&self, began: Instant, now: Instant) -> bool {
        let (since, limit) = match &self.tracing {
            None => (began, self.limit),
            Some((limit, ending)) => match ending.first() {
                None => (began, *limit),
                Some((asked, _)) => (asked.max(began), self.limit),
            },
        };
        now.saturating_duration_since(since) >= limit
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = *self.silent_since.get_or_insert_with(Instant::now);
        loop {
            let is_woken = match self.look(buffer) {
                Ok(Look::Read(length)) => {
                    self.silent_since = None;
                    return Ok(length);
                }
                Ok(Look::Woken) => true,
                Ok(Look::Nothing) => false,
                // By a signal that the program handles.
                Err(e) if e.kind() == ErrorKind::Interrupted => false,
                Err(e) => return Err(e),
            };
            // The time may have passed in a handler, or while this process was stopped.
            if self.is_overdue(began, Instant::now()) && !self.has_data() {
                return Err(ErrorKind::TimedOut.into());
            }
            if is_woken {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::stop::Reason;

    const LIMIT: Duration = Duration::from_millis(20);

    fn patient() -> (UnixStream, Patient) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (theirs, Patient::new(ours, LIMIT).expect("setting a time limit"))
    }

    #[test]
    fn a_start_that_is_silent_times_out() {
        let (_theirs, mut patient) = patient();
        let error = patient.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn silence_while_tracing_has_a_limit_of_its_own_until_the_request_to_stop() {
        let (_theirs, mut patient) = patient();
        let ending = Arc::new(Ending::default());
        patient.tracing(20 * LIMIT, Arc::clone(&ending));
        let began = Instant::now();
        assert!(!patient.is_overdue(began, began + 19 * LIMIT));
        assert!(patient.is_overdue(began, began + 20 * LIMIT));
        ending.ask(Reason::Stop);
        let (asked, _) = ending.first().expect("it was asked");
        assert!(!patient.is_overdue(began - 10 * LIMIT, asked));
        assert!(patient.is_overdue(began - 10 * LIMIT, asked + LIMIT));
        let error = patient.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_worker_that_is_silent_times_out_though_something_else_wakes_the_reader() {
        let (_theirs, mut patient) = patient();
        let (woken, mut wake) = UnixStream::pair().expect("a socket pair");
        patient.wake_by(woken);
        let error = loop {
            io::Write::write_all(&mut wake, b".").expect("writing to an open socket");
            match patient.read(&mut [0]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                result => break result.expect_err("nothing to read"),
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_wakes_and_what_is_said_take_turns() {
        let (mut theirs, mut patient) = patient();
        let (woken, mut wake) = UnixStream::pair().expect("a socket pair");
        patient.wake_by(woken);
        io::Write::write_all(&mut wake, b"...").expect("writing to an open socket");
        io::Write::write_all(&mut theirs, b"ab").expect("writing to an open channel");
        let mut turns = Vec::new();
        for _ in 0..5 {
            let mut byte = [0];
            turns.push(match patient.read(&mut byte) {
                Ok(_) => byte[0],
                Err(e) if e.kind() == ErrorKind::WouldBlock => b'.',
                Err(e) => panic!("{e}"),
            });
        }
        assert_eq!(turns, b".a.b.");
    }

    #[test]
    fn what_is_said_is_read() {
        let (mut theirs, mut patient) = patient();
        io::Write::write_all(&mut theirs, b"x").expect("writing to an open channel");
        drop(theirs);
        let mut said = Vec::new();
        patient.read_to_end(&mut said).expect("reading to the end of the channel");
        assert_eq!(said, b"x");
    }
}
