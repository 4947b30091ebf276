//! How does a session run in its own thread, for programs that go on meanwhile?

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
/// It can be sent to other threads and shared among them, and stopped, joined or dropped on any of them,
/// one of its own handlers included. Handlers are called one at a time.
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
    /// Starts the session in its own thread, and returns when tracing is on. Its handlers run on that
    /// thread.
    ///
    /// # Errors
    /// As of [`run`](Session::run), if the session does not start.
    pub fn spawn(self) -> Result<ConsumerThread, Failure> {
        let Session { source, consumer, stop } = self;
        let handle = stop.clone();
        let (tell, started) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("dtrace-consumer".to_owned())
            .spawn(move || {
                // Dropped unused, where the session does not start.
                source.run(consumer, stop, move || {
                    let _ = tell.send(());
                })
            })
            .map_err(|cause| Error::System { attempt: "start the session's thread", cause })?;
        if started.recv().is_ok() {
            let id = thread.thread().id();
            return Ok(ConsumerThread { stop: handle, thread: Some(thread), id });
        }
        let message = match thread.join() {
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(_)) => "it ended before it started".to_owned(),
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

    /// A handle that asks the session to end, for other threads and for handlers.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Whether the session has ended by itself: the script called `exit()`, or something failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the session. Everything that was recorded up to now is delivered before this returns.
    ///
    /// A handler of the session itself cannot wait for it. There the session is asked to end, and does
    /// when the handler has returned; the outcome is empty. The same goes for
    /// [`join`](ConsumerThread::join) and for dropping.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before, if the session failed.
    pub fn stop(self) -> Result<Outcome, Failure> {
        self.stop.stop();
        self.join()
    }

    /// Waits until the session ends by itself, by `exit()` in the script or by a
    /// [`StopHandle`].
    ///
    /// # Errors
    /// As of [`stop`](ConsumerThread::stop).
    pub fn join(mut self) -> Result<Outcome, Failure> {
        let Some(thread) = self.thread.take() else { return Ok(Outcome::default()) };
        if self.id == std::thread::current().id() {
            // A handler cannot wait for its own thread; the session ends after it has returned.
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

/// Ends the session, and waits until everything has been delivered. Errors go unnoticed: use
/// [`stop`](ConsumerThread::stop) to see them.
impl Drop for ConsumerThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.stop();
        if self.id != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}
