//! How is a running session asked to end, from any thread?

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// Asks a session to end, from any thread and also from its own closures.
///
/// A handle can be made before its session; a request made before tracing is on ends the session as
/// soon as it is.
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
    /// Tells the running session, if there is one.
    tell: Option<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("requested", &self.requested).finish_non_exhaustive()
    }
}

impl StopHandle {
    /// Makes a handle for a session that is yet to begin; see
    /// [`stop_handle`](crate::Session::stop_handle).
    #[must_use]
    pub fn new() -> StopHandle {
        StopHandle::default()
    }

    /// Asks the session to end; what was recorded up to now is still delivered. It returns at once,
    /// and asking again does nothing.
    pub fn stop(&self) {
        let mut request = self.0.request.lock();
        request.at.get_or_insert_with(Instant::now);
        self.0.requested.store(true, Ordering::Release);
        if let Some(tell) = request.tell.take() {
            tell();
        }
    }

    /// Whether the session was asked to end.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// When the session was asked to end.
    pub(crate) fn requested_at(&self) -> Option<Instant> {
        self.0.request.lock().at
    }

    /// Has `tell` called when the session is asked to end; at once if it was already.
    pub(crate) fn attach(&self, tell: impl FnOnce() + Send + 'static) {
        let mut request = self.0.request.lock();
        if request.at.is_some() {
            tell();
        } else {
            request.tell = Some(Box::new(tell));
        }
    }

    /// Forgets the session, which is over; returns when it was asked to end.
    pub(crate) fn detach(&self) -> Option<Instant> {
        let mut request = self.0.request.lock();
        request.tell = None;
        request.at
    }
}
