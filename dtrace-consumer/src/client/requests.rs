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
    waiting: Arc<Mutex<Waiting>>,
}

/// Those who wait. The worker may answer two requests at once, so it gets the next one after its answer.
#[derive(Debug, Default)]
struct Waiting {
    /// They wait for the answer to the request that was sent.
    asked: Vec<Sender<()>>,
    /// They came after that request. Its answer may lack what they wait for.
    later: Vec<Sender<()>>,
}

impl CatchUp {
    pub(super) fn new(requests: Requests) -> CatchUp {
        CatchUp { requests, waiting: Arc::default() }
    }

    /// Returns when everything recorded so far has been delivered, the session is over, or it has taken too
    /// long.
    pub(crate) fn wait(self) {
        let (tell, caught_up) = crossbeam_channel::bounded(0);
        {
            let mut waiting = self.waiting.lock();
            waiting.later.push(tell);
            if waiting.asked.is_empty() {
                self.ask(&mut waiting);
            }
        }
        let _ = caught_up.recv_timeout(CATCHING_UP);
    }

    /// Sends a request for all who wait.
    fn ask(&self, waiting: &mut Waiting) {
        waiting.asked = std::mem::take(&mut waiting.later);
        if !waiting.asked.is_empty() && !self.requests.send(&Command::CatchUp) {
            waiting.asked.clear();
        }
    }

    /// Ends the waits for the request that was sent: the worker has caught up.
    pub(super) fn caught_up(&self) {
        self.ask(&mut self.waiting.lock());
    }

    /// Ends all waits: the worker accepts no more requests.
    pub(super) fn done(&self) {
        *self.waiting.lock() = Waiting::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn an_answer_ends_only_the_waits_that_began_before_its_request() {
        let (channel, _worker) = UnixStream::pair().expect("a socket pair");
        let catch_up = CatchUp::new(Requests::new(channel));
        let wait = || {
            let (tell, caught_up) = crossbeam_channel::bounded(0);
            catch_up.waiting.lock().later.push(tell);
            caught_up
        };
        let ended = |wait: &crossbeam_channel::Receiver<()>| {
            wait.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
        };
        let first = wait();
        catch_up.caught_up();
        let second = wait();
        assert!(!ended(&first) && !ended(&second));
        catch_up.caught_up();
        assert!(ended(&first) && !ended(&second));
        catch_up.caught_up();
        assert!(ended(&second));
    }
}
