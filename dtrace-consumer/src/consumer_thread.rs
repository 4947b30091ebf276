//! A session in a thread of its own, for programs that go on meanwhile.

use std::fmt;
use std::thread::{JoinHandle, ThreadId};

use crate::aggregation::{Aggregated, Joined};
use crate::builder::{Builder, closure_methods};
use crate::description::{OptionChange, ProcessEvent};
use crate::dispatch::{Closures, RowsError, panic_message};
use crate::error::{CallbackResult, Error, Failure};
use crate::firing::{Firing, Output, Record};
use crate::loss::{DropReport, Fault};
use crate::outcome::Outcome;
use crate::session;
use crate::stop::StopHandle;

/// Sets up a [`ConsumerThread`]. Its closures run on the session's thread.
pub type ConsumerThreadBuilder = Builder<SendClosures>;

/// Closures that move to the session's thread.
#[expect(clippy::type_complexity, reason = "each type is what the builder's method takes")]
#[derive(Default)]
pub struct SendClosures {
    walk: Option<Box<dyn for<'a> FnMut(&Aggregated<'a>) -> CallbackResult + Send>>,
    joined_names: Vec<String>,
    joined: Option<Box<dyn for<'a> FnMut(&Joined<'a>) -> CallbackResult + Send>>,
    walked: Option<Box<dyn FnMut() -> CallbackResult + Send>>,
    out: Option<Box<dyn for<'a> FnMut(&Output<'a>) -> CallbackResult + Send>>,
    chew: Option<Box<dyn for<'a> FnMut(&Firing<'a>) -> CallbackResult + Send>>,
    chewrec: Option<Box<dyn for<'a> FnMut(&Record<'a>) -> CallbackResult + Send>>,
    rows: Option<Box<dyn for<'a> FnMut(&Firing<'a>) -> Result<(), RowsError> + Send>>,
    report: Option<Box<dyn for<'a> FnMut(&'a [u8]) -> CallbackResult + Send>>,
    on_start: Option<Box<dyn for<'a> FnMut(&'a Outcome) -> CallbackResult + Send>>,
    on_option: Option<Box<dyn for<'a> FnMut(&'a OptionChange) -> CallbackResult + Send>>,
    on_process: Option<Box<dyn for<'a> FnMut(&'a ProcessEvent) -> CallbackResult + Send>>,
    on_drop: Option<Box<dyn FnMut(DropReport) -> CallbackResult + Send>>,
    on_fault: Option<Box<dyn FnMut(Fault) -> CallbackResult + Send>>,
}

impl fmt::Debug for SendClosures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendClosures").finish_non_exhaustive()
    }
}

impl SendClosures {
    fn into_local(self) -> Closures<'static> {
        // Written field by field: each box changes its type by giving up Send.
        Closures {
            walk: self.walk.map(|f| f as _),
            joined_names: self.joined_names,
            joined: self.joined.map(|f| f as _),
            walked: self.walked.map(|f| f as _),
            out: self.out.map(|f| f as _),
            chew: self.chew.map(|f| f as _),
            chewrec: self.chewrec.map(|f| f as _),
            rows: self.rows.map(|f| f as _),
            report: self.report.map(|f| f as _),
            on_start: self.on_start.map(|f| f as _),
            on_option: self.on_option.map(|f| f as _),
            on_process: self.on_process.map(|f| f as _),
            on_drop: self.on_drop.map(|f| f as _),
            on_fault: self.on_fault.map(|f| f as _),
        }
    }
}

/// A tracing session that delivers to closures in a thread of its own.
///
/// It can be sent to other threads and shared among them, and stopped, joined or dropped on any of them,
/// one of its own closures included. Closures are called one at a time.
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

impl Builder<SendClosures> {
    closure_methods!('static, Send);

    /// Starts tracing, and returns when it is on.
    ///
    /// # Errors
    /// The script does not compile ([`Error::Compile`]), tracing is not possible
    /// ([`Error::Unavailable`]), an option is wrong ([`Error::Option`])…
    pub fn spawn(self) -> Result<ConsumerThread, Error> {
        let Builder { settings, closures, stop, .. } = self;
        let handle = stop.clone();
        let (tell, started) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("dtrace-consumer".to_owned())
            .spawn(move || {
                let mut live =
                    match session::start(&settings, closures.into_local(), &stop, || Ok(None)) {
                        Ok(live) => live,
                        Err(failure) => {
                            let _ = tell.send(Err(failure.error));
                            return Ok(Outcome::default());
                        }
                    };
                let _ = tell.send(Ok(()));
                let delivered = live.deliver();
                let outcome = live.into_outcome();
                match delivered {
                    Ok(()) => Ok(*outcome),
                    Err(error) => Err(Failure { error, outcome }),
                }
            })
            .map_err(|cause| Error::System { attempt: "start the session's thread", cause })?;
        let id = thread.thread().id();
        match started.recv() {
            Ok(Ok(())) => Ok(ConsumerThread { stop: handle, thread: Some(thread), id }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(panicked(thread)),
        }
    }
}

fn panicked(thread: JoinHandle<Result<Outcome, Failure>>) -> Error {
    let message = match thread.join() {
        Err(payload) => panic_message(&*payload),
        Ok(_) => "it ended without a word".to_owned(),
    };
    Error::Panicked { closure: "session", message }
}

impl ConsumerThread {
    /// Sets up a session that runs the D program `script`.
    pub fn builder(script: &str) -> ConsumerThreadBuilder {
        Builder::new(script)
    }

    /// A handle that asks the session to end, for other threads and for closures.
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
    /// A closure of the session itself cannot wait for it. There the session is asked to end, and does
    /// when the closure has returned; the outcome is empty. The same goes for
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
            // A closure cannot wait for its own thread; the session ends after it has returned.
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
