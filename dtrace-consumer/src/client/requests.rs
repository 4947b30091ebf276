//! Sends requests to a running worker, from any thread.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::stream::job::Command;

/// How long a command waits at its end for the look-up of its symbols.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// The channel to a worker, until the session is over.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Mutex<Option<UnixStream>>>);

impl Requests {
    pub(super) fn new(channel: UnixStream) -> Requests {
        Requests(Arc::new(Mutex::new(Some(channel))))
    }

    /// Sends a command. Returns `false` if the worker accepts no more.
    pub(super) fn send(&self, command: &Command) -> bool {
        let mut channel = self.0.lock();
        channel.as_mut().is_some_and(|channel| channel.write_all(&command.encode()).is_ok())
    }

    /// Closes the channel when the session is over, even if others still hold this.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

/// A request to deliver what a process did with its symbols, while they can still be looked up.
#[derive(Debug, Clone)]
pub(crate) struct CatchUp {
    requests: Requests,
    waiting: Arc<Mutex<Vec<Sender<()>>>>,
}

impl CatchUp {
    pub(super) fn new(requests: Requests) -> CatchUp {
        CatchUp { requests, waiting: Arc::default() }
    }

    /// Returns when everything recorded so far has been delivered, the session is over, or it has taken too
    /// long.
    pub(crate) fn wait(self) {
        let (tell, caught_up) = crossbeam_channel::bounded(0);
        self.waiting.lock().push(tell);
        if self.requests.send(&Command::CatchUp) {
            let _ = caught_up.recv_timeout(CATCHING_UP);
        }
    }

    /// Ends all waits: the worker has caught up, or accepts no more requests.
    pub(super) fn done(&self) {
        self.waiting.lock().clear();
    }
}
