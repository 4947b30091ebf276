//! How is a running worker asked for something, from any thread?

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::stream::job::Command;

/// How long a command waits at its end for its symbols to be looked up.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// The way to a worker, until the session is over.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Mutex<Option<UnixStream>>>);

impl Requests {
    pub(super) fn new(channel: UnixStream) -> Requests {
        Requests(Arc::new(Mutex::new(Some(channel))))
    }

    /// Sends a command; `false` if the worker takes none any more.
    pub(super) fn send(&self, command: &Command) -> bool {
        let mut channel = self.0.lock();
        channel.as_mut().is_some_and(|channel| channel.write_all(&command.encode()).is_ok())
    }

    /// The session is over: whoever still has this must not keep its channel open.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

/// Makes sure that what a process did is delivered with its symbols, while they can be looked up.
pub(crate) struct CatchUp {
    requests: Requests,
    caught_up: Receiver<()>,
}

impl CatchUp {
    /// To be waited for once; it is over when what comes with it is sent to or dropped.
    pub(super) fn new(requests: Requests) -> (CatchUp, Sender<()>) {
        let (tell, caught_up) = crossbeam_channel::bounded(0);
        (CatchUp { requests, caught_up }, tell)
    }

    /// Returns when what was recorded up to now has been delivered, or the session is over, or it has
    /// taken too long.
    pub(crate) fn wait(self) {
        if self.requests.send(&Command::CatchUp) {
            let _ = self.caught_up.recv_timeout(CATCHING_UP);
        }
    }
}
