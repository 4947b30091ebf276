//! Sessions that run in their own thread.

use std::thread::{JoinHandle, ThreadId};

#[cfg(feature = "live")]
use super::live::{Live, trace};
use super::session::{Session, Source};
use crate::data::outcome::Outcome;
#[cfg(feature = "live")]
use crate::data::script::Script;
use crate::decode::consumer::Consumer;
use crate::decode::guard::panic_message;
use crate::decode::stop::StopHandle;
use crate::error::Error;
use crate::error::failure::Failure;

/// A session that delivers to its handlers in its own thread.
///
/// It can be sent to and shared among other threads. Any thread can stop, join or drop it, including one of
/// its own handlers. Handlers are called one at a time.
///
/// ```no_run
/// use dtrace_consumer::{ConsumerThread, aggregation::Mode};
/// use std::time::Duration;
///
/// let thread = ConsumerThread::builder("syscall:::entry { @[execname] = count(); }")
///     .mode(Mode::Delta)
///     .walk_every(Duration::from_secs(1))
///     .walk(|entry| {
///         println!("{} {}", entry.key::<String>(0)?, entry.number()?);
///         Ok(())
///     })
///     .spawn()?; // tracing is on
/// std::thread::sleep(Duration::from_secs(5));
/// let outcome = thread.stop()?; // everything up to now has been delivered
/// println!("{}", outcome.losses);
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
#[derive(Debug)]
pub struct ConsumerThread {
    stop: StopHandle,
    thread: Option<JoinHandle<Result<Outcome, Failure>>>,
    id: ThreadId,
}

impl<S, C> Session<S, C>
where
    S: Source + Send + 'static,
    C: Consumer + Send + 'static,
{
    /// Starts the session in its own thread, and returns when tracing is on. Its handlers run on that thread.
    ///
    /// # Errors
    /// The same as those of [`run`](Session::run), if the session does not start.
    pub fn spawn(self) -> Result<ConsumerThread, Failure> {
        let stop = StopHandle::of(&self.ending);
        let (tell, started) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("dtrace-consumer".to_owned())
            .spawn(move || {
                // Dropped uncalled if the session does not start.
                self.run_until(move || {
                    let _ = tell.send(());
                })
            })
            .map_err(|cause| Error::System { attempt: "start the session's thread", cause })
            .map_err(S::explained)?;
        if started.recv().is_ok() {
            let id = thread.thread().id();
            return Ok(ConsumerThread { stop, thread: Some(thread), id });
        }
        let message = match thread.join() {
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(_)) => "the session ended before it started".to_owned(),
            Err(payload) => panic_message(&*payload),
        };
        Err(Error::Panicked { closure: "session", message }.into())
    }
}

impl ConsumerThread {
    /// Sets up a session that runs the D program `script`, like [`trace`](crate::trace()).
    #[cfg(feature = "live")]
    pub fn builder(script: impl Into<Script>) -> Session<Live> {
        trace(script)
    }

    /// Returns a handle that asks the session to end, for other threads and for handlers.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Returns whether this is the session's own thread.
    pub(super) fn is_current(&self) -> bool {
        self.id == std::thread::current().id()
    }

    /// Returns whether the session has ended by itself: the script called `exit()`, or something failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the session. Everything recorded up to now is delivered before this returns.
    ///
    /// A handler of the session cannot wait for the session itself. If it calls this, the session is asked to
    /// end, and ends once the handler has returned; the returned outcome is empty. The same applies to
    /// [`join`](ConsumerThread::join) and to dropping.
    ///
    /// # Errors
    /// [`Failure`], with everything delivered before, if the session failed.
    pub fn stop(self) -> Result<Outcome, Failure> {
        self.stop.stop();
        self.join()
    }

    /// Ends the session at once, and discards what has not been delivered; see [`StopHandle::abort`]. Waits for
    /// the handler that is running, if there is one. Returns what is known about the session.
    #[expect(clippy::must_use_candidate, reason = "a caller who throws the data away may not care")]
    pub fn abort(self) -> Outcome {
        self.stop.abort();
        self.join().unwrap_or_else(|failure| *failure.outcome)
    }

    /// Waits until the session ends, for example by `exit()` in the script or by a [`StopHandle`].
    ///
    /// # Errors
    /// The same as those of [`stop`](ConsumerThread::stop).
    pub fn join(mut self) -> Result<Outcome, Failure> {
        let Some(thread) = self.thread.take() else { return Ok(Outcome::default()) };
        if self.id == std::thread::current().id() {
            // A handler cannot wait for its own thread. The session ends after it has returned.
            self.stop.stop();
            return Ok(Outcome::default());
        }
        match thread.join() {
            Ok(result) => result,
            Err(payload) => {
                let message = panic_message(&*payload);
                Err(Error::Panicked { closure: "session", message }.into())
            }
        }
    }
}

/// Ends the session, and waits until everything has been delivered. Ignores errors: use
/// [`stop`](ConsumerThread::stop) to get them.
impl Drop for ConsumerThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.stop();
        if self.id != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}
