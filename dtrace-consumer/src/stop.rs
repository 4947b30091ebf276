//! How is a running session asked for something, from any thread?

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::stream::job::Command;

/// How long a command waits at its end for its symbols to be looked up.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// Asks a session to end, from any thread and also from its own closures.
///
/// A handle can be made before its session; a request made before tracing is on ends the session as
/// soon as it is.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<Mutex<Stop>>);

#[derive(Debug, Default)]
struct Stop {
    /// Where to send the request, while there is a session that takes it.
    channel: Option<UnixStream>,
    asked: Option<Instant>,
}

impl StopHandle {
    /// A handle for a session that is yet to begin; see
    /// [`stop_handle`](crate::Builder::stop_handle).
    #[must_use]
    pub fn new() -> StopHandle {
        StopHandle::default()
    }

    /// Asks the session to end; what was recorded up to now is still delivered. It returns at once,
    /// and asking again does nothing.
    pub fn stop(&self) {
        let mut stop = self.0.lock();
        stop.asked.get_or_insert_with(Instant::now);
        if let Some(mut channel) = stop.channel.take() {
            // It fails only if the worker is gone, and then the session has ended.
            let _ = channel.write_all(&Command::Stop.encode());
        }
    }

    /// Sends a command to the session's worker; `false` if it takes none any more.
    pub(crate) fn send(&self, command: &Command) -> bool {
        let mut stop = self.0.lock();
        stop.channel.as_mut().is_some_and(|channel| channel.write_all(&command.encode()).is_ok())
    }

    pub(crate) fn attach(&self, channel: UnixStream) {
        let mut stop = self.0.lock();
        stop.channel = Some(channel);
        let asked = stop.asked.is_some();
        drop(stop);
        if asked {
            self.stop();
        }
    }

    /// When the session was asked to end.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.0.lock().asked
    }

    /// The session is over; says when it was asked to end.
    pub(crate) fn detach(&self) -> Option<Instant> {
        let mut stop = self.0.lock();
        stop.channel = None;
        stop.asked
    }
}

/// Makes sure that what a process did is told with its symbols, while they can be had.
pub(crate) struct CatchUp {
    session: StopHandle,
    caught_up: Receiver<()>,
}

impl CatchUp {
    /// To be waited for once; it is over when what comes with it is sent to or dropped.
    pub(crate) fn new(session: StopHandle) -> (CatchUp, Sender<()>) {
        let (tell, caught_up) = crossbeam_channel::bounded(0);
        (CatchUp { session, caught_up }, tell)
    }

    /// Returns when what was recorded up to now has been delivered, or the session is over, or it has
    /// taken too long.
    pub(crate) fn wait(self) {
        if self.session.send(&Command::CatchUp) {
            let _ = self.caught_up.recv_timeout(CATCHING_UP);
        }
    }
}
