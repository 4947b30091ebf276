//! Who asks a session to end, and who has to know?
//!
//! Each session has one [`Ending`]. The user's [`StopHandle`]s, the session's command and its deadline ask for
//! the end there. The delivery, the worker and the wait for the command learn of it there.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::error::Error;

/// Asks sessions to end, from any thread, including their own handlers.
///
/// A handle can be created before its session; see [`Session::stop_handle`](crate::Session::stop_handle). A
/// request that comes before tracing is on ends the session as soon as it is on. One handle can end several
/// sessions.
///
/// ```no_run
/// use dtrace_consumer::{StopHandle, trace};
///
/// let stop = StopHandle::new();
/// let handler = stop.clone();
/// trace("syscall::openat:entry { trace(copyinstr(arg1)); }")
///     .stop_handle(&stop)
///     .rows(move |path: String| {
///         if path == "/etc/passwd" {
///             handler.stop();
///         }
///         Ok(())
///     })
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
#[derive(Clone, Default)]
pub struct StopHandle(Arc<Mutex<Handle>>);

#[derive(Default)]
struct Handle {
    asked: Option<Reason>,
    sessions: Vec<Weak<Ending>>,
}

impl StopHandle {
    /// Creates a handle for sessions that have not started.
    #[must_use]
    pub fn new() -> StopHandle {
        StopHandle::default()
    }

    /// Creates a handle for a session.
    pub(crate) fn of(ending: &Arc<Ending>) -> StopHandle {
        let handle = StopHandle::new();
        handle.attach(ending);
        handle
    }

    /// Lets the handle end a session. Ends it at once if that was asked already.
    pub(crate) fn attach(&self, ending: &Arc<Ending>) {
        let mut handle = self.0.lock();
        handle.sessions.retain(|session| session.strong_count() > 0);
        handle.sessions.push(Arc::downgrade(ending));
        if let Some(reason) = handle.asked {
            ending.ask(reason);
        }
    }

    /// Asks the session to end. Everything recorded up to now is still delivered. A traced command gets
    /// SIGTERM then, and SIGKILL two seconds later. Returns at once; further calls do nothing.
    pub fn stop(&self) {
        self.ask(Reason::Stop);
    }

    /// Ends the session at once, and discards what has not been delivered. A traced command gets SIGKILL. The
    /// session fails with [`Error::Aborted`](crate::Error::Aborted), and its
    /// [`Failure`](crate::Failure) has what is known by then. Returns at once.
    ///
    /// A handler that is running is not interrupted: the session ends when it returns.
    pub fn abort(&self) {
        self.ask(Reason::Abort);
    }

    fn ask(&self, reason: Reason) {
        let mut handle = self.0.lock();
        handle.asked = handle.asked.max(Some(reason));
        for session in handle.sessions.iter().filter_map(Weak::upgrade) {
            session.ask(reason);
        }
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").field("asked", &self.0.lock().asked).finish_non_exhaustive()
    }
}

/// Why a session was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Its command has ended.
    Command,
    /// Its deadline has come.
    Deadline,
    /// The user has asked for it.
    Stop,
    /// Its deadline came long ago, and it has not ended.
    Overdue,
    /// The user does not want the rest.
    Abort,
}

impl Reason {
    /// Returns whether nobody wants the rest.
    pub(crate) fn is_abort(self) -> bool {
        self >= Reason::Overdue
    }
}

/// The end of a session.
#[derive(Default)]
pub struct Ending {
    request: Mutex<Request>,
    stopped: Signal,
    aborted: Signal,
}

#[derive(Default)]
struct Request {
    first: Option<(Instant, Reason)>,
    aborted: Option<Reason>,
    /// Notifies the running worker, if there is one.
    tell: Option<Box<dyn FnMut(Reason) + Send>>,
}

impl Ending {
    /// Asks for the end. Only the first reason counts, and after it an abort.
    pub(crate) fn ask(&self, reason: Reason) {
        let mut request = self.request.lock();
        let is_first = request.first.is_none();
        request.first.get_or_insert_with(|| (Instant::now(), reason));
        let is_news = is_first || (reason.is_abort() && request.aborted.is_none());
        if reason.is_abort() {
            request.aborted.get_or_insert(reason);
            self.aborted.raise();
        }
        self.stopped.raise();
        if is_news && let Some(tell) = &mut request.tell {
            tell(reason);
        }
    }

    /// Returns when the end was first asked for, and why.
    pub(crate) fn first(&self) -> Option<(Instant, Reason)> {
        self.request.lock().first
    }

    /// Returns whether the end was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.stopped.is_raised()
    }

    /// Returns the error of a session that was aborted. `deadline` is its own.
    pub(crate) fn abortion(&self, deadline: Option<Duration>) -> Option<Error> {
        let reason = self.request.lock().aborted?;
        Some(match deadline.filter(|_| reason == Reason::Overdue) {
            Some(limit) => Error::Deadline { limit },
            None => Error::Aborted,
        })
    }

    /// Returns whether nobody wants the rest.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.is_raised()
    }

    /// Returns a channel that disconnects when the end is asked for.
    pub(crate) fn stopped(&self) -> Receiver<Infallible> {
        self.stopped.receiver.clone()
    }

    /// Returns a channel that disconnects when nobody wants the rest.
    pub(crate) fn aborted(&self) -> Receiver<Infallible> {
        self.aborted.receiver.clone()
    }

    /// Sets the function that passes requests on to the worker. It is called at once for those that came
    /// before.
    pub(crate) fn attach(&self, mut tell: impl FnMut(Reason) + Send + 'static) {
        let mut request = self.request.lock();
        if let Some((_, reason)) = request.first {
            tell(request.aborted.unwrap_or(reason));
        }
        request.tell = Some(Box::new(tell));
    }

    /// Passes no more requests on: the worker is gone.
    pub(crate) fn detach(&self) {
        self.request.lock().tell = None;
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("first", &self.first()).finish_non_exhaustive()
    }
}

/// A channel that carries nothing. It disconnects when the signal is raised.
struct Signal {
    raised: AtomicBool,
    sender: Mutex<Option<Sender<Infallible>>>,
    receiver: Receiver<Infallible>,
}

impl Default for Signal {
    fn default() -> Signal {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        Signal { raised: AtomicBool::new(false), sender: Mutex::new(Some(sender)), receiver }
    }
}

impl Signal {
    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        *self.sender.lock() = None;
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_handle_ends_several_sessions_and_those_that_come_later() {
        let handle = StopHandle::new();
        let (first, second, later) = <(Arc<Ending>, Arc<Ending>, Arc<Ending>)>::default();
        handle.attach(&first);
        handle.attach(&second);
        assert!(!first.is_asked() && !second.is_asked());
        handle.clone().stop();
        assert!(first.is_asked() && second.is_asked() && !later.is_asked());
        handle.attach(&later);
        assert!(later.is_asked() && !later.is_aborted());
    }

    #[test]
    fn the_error_of_an_abort_names_who_aborted() {
        let limit = Some(Duration::from_secs(1));
        let error = |reasons: &[Reason]| {
            let ending = Ending::default();
            reasons.iter().for_each(|reason| ending.ask(*reason));
            ending.abortion(limit)
        };
        assert!(error(&[Reason::Deadline]).is_none());
        let late = [Reason::Command, Reason::Deadline, Reason::Overdue, Reason::Abort];
        assert!(matches!(error(&late), Some(Error::Deadline { .. })));
        let user = [Reason::Deadline, Reason::Abort, Reason::Overdue];
        assert!(matches!(error(&user), Some(Error::Aborted)));
    }

    #[test]
    fn a_worker_is_told_once_of_the_end_and_once_of_an_abort() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ending = Ending::default();
        let telling = Arc::clone(&told);
        ending.attach(move |reason| telling.lock().push(reason));
        ending.ask(Reason::Stop);
        ending.ask(Reason::Command);
        ending.ask(Reason::Abort);
        ending.ask(Reason::Abort);
        assert_eq!(*told.lock(), [Reason::Stop, Reason::Abort]);
        assert_eq!(ending.first().map(|(_, reason)| reason), Some(Reason::Stop));
        let telling = Arc::clone(&told);
        ending.attach(move |reason| telling.lock().push(reason));
        assert_eq!(told.lock().last(), Some(&Reason::Abort));
    }
}
