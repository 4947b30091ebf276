//! Sends requests to a running worker, from any thread.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use parking_lot::Mutex;

use crate::stream::job::Command;

/// How long a command waits at its end for the look-up of its symbols: longer than a worker needs on a busy
/// machine, which reads the symbols of the command and of its libraries meanwhile.
const CATCHING_UP: Duration = Duration::from_secs(30);

/// How long it waits for one call of a handler. The handler may be waiting for the command.
const IN_HANDLER: Duration = Duration::from_secs(2);

/// How often to check whether a handler keeps the command waiting.
const LOOK: Duration = Duration::from_millis(100);

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
    calls: Arc<Calls>,
}

/// How often handlers were entered or left: an odd number while one runs.
#[derive(Debug, Default)]
struct Calls(AtomicU64);

impl Calls {
    /// Only the thread that calls the handlers changes the number.
    fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A command's wait at its end.
struct Wait {
    began: Instant,
    /// The last change of the number of calls that was seen, and when.
    changed: (u64, Instant),
}

impl Wait {
    fn new(now: Instant, calls: u64) -> Wait {
        Wait { began: now, changed: (calls, now) }
    }

    /// Returns whether the command has waited long enough.
    fn is_over(&mut self, now: Instant, calls: u64) -> bool {
        if self.changed.0 != calls {
            self.changed = (calls, now);
        }
        let in_handler = calls % 2 == 1 && now - self.changed.1 >= IN_HANDLER;
        in_handler || now - self.began >= CATCHING_UP
    }
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
        CatchUp { requests, waiting: Arc::default(), calls: Arc::default() }
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
        let mut wait = Wait::new(Instant::now(), self.calls.number());
        while caught_up.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if wait.is_over(Instant::now(), self.calls.number()) {
                return;
            }
        }
    }

    /// Runs what calls handlers. Commands at their end do not wait long for it.
    pub(super) fn while_handling<T>(&self, call: impl FnOnce() -> T) -> T {
        self.calls.count();
        let result = call();
        self.calls.count();
        result
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
    fn a_command_waits_longer_for_a_slow_worker_than_for_a_handler() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let calls = Calls::default();
        let mut wait = Wait::new(began, calls.number());
        assert!(!wait.is_over(at(20), calls.number()));
        // Each call of a handler has its own time.
        for second in 20..25 {
            calls.count();
            assert!(!wait.is_over(at(second), calls.number()));
            calls.count();
            assert!(!wait.is_over(at(second + 1), calls.number()));
        }
        calls.count();
        assert!(!wait.is_over(at(26), calls.number()));
        assert!(wait.is_over(at(28), calls.number()));
        calls.count();
        assert!(!wait.is_over(at(29), calls.number()));
        assert!(wait.is_over(at(30), calls.number()));
    }

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
