//! Stops a running session, from any thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// Asks a session to end, from any thread, including its own closures.
///
/// A handle can be created before its session. A request that comes before tracing is on ends the session as
/// soon as it is on.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    request: Mutex<Request>,
}

#[derive(Default)]
struct Request {
    at: Option<Instant>,
    /// Notifies the running session, if there is one.
    tell: Option<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("requested", &self.requested).finish_non_exhaustive()
    }
}

impl StopHandle {
    /// Creates a handle for a session that has not started; see [`stop_handle`](crate::Session::stop_handle).
    #[must_use]
    pub fn new() -> StopHandle {
        StopHandle::default()
    }

    /// Asks the session to end. Everything recorded up to now is still delivered. Returns at once; further
    /// calls do nothing.
    pub fn stop(&self) {
        let mut request = self.0.request.lock();
        request.at.get_or_insert_with(Instant::now);
        self.0.requested.store(true, Ordering::Release);
        if let Some(tell) = request.tell.take() {
            tell();
        }
    }

    /// Returns whether the session was asked to end.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Returns when the session was asked to end.
    pub(crate) fn requested_at(&self) -> Option<Instant> {
        self.0.request.lock().at
    }

    /// Sets a function to call when the session is asked to end. Calls it at once if that has already
    /// happened.
    pub(crate) fn attach(&self, tell: impl FnOnce() + Send + 'static) {
        let mut request = self.0.request.lock();
        if request.at.is_some() {
            tell();
        } else {
            request.tell = Some(Box::new(tell));
        }
    }

    /// Detaches from the session, which is over. Returns when it was asked to end.
    pub(crate) fn detach(&self) -> Option<Instant> {
        let mut request = self.0.request.lock();
        request.tell = None;
        request.at
    }
}
