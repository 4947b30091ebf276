//! Sessions as streams, for async programs.
//!
//! Nothing here depends on a runtime. The session runs in its own thread, which wakes the task that polls.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::TryRecvError;
use futures_core::Stream;
use parking_lot::Mutex;

use super::events::Events;
use super::session::{Session, Source};
use crate::data::outcome::Outcome;
use crate::decode::consumer::Consumer;
use crate::decode::event::Event;
use crate::decode::stop::StopHandle;
use crate::error::Error;
use crate::error::failure::Failure;

/// The events of a running session as a [`Stream`], created by [`Session::stream`].
///
/// The stream ends with the session. Dropping it asks the session to end, and does not wait for the end.
pub struct EventStream {
    /// Taken by `finish` and by dropping.
    events: Option<Events>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl<S, C> Session<S, C>
where
    S: Source + Send + 'static,
    C: Consumer + Send + 'static,
{
    /// Starts the session in its own thread, and delivers its events as a stream. The future is ready when
    /// tracing is on. Dropping it earlier ends the session.
    ///
    /// The stream holds up to `capacity` events, and at least one; [`events`](Session::events) says what happens when it is
    /// full. It works with any runtime. Requires the feature `futures`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use dtrace_consumer::{Event, trace};
    /// use futures::StreamExt;
    ///
    /// let mut events = trace("syscall::openat:entry { trace(pid); trace(copyinstr(arg1)); }")
    ///     .stream(1024)
    ///     .await?;
    /// while let Some(event) = events.next().await {
    ///     if let Event::Firing(firing) = event {
    ///         let (pid, path): (i32, String) = firing.row()?;
    ///         println!("{pid} {path}");
    ///     }
    /// }
    /// let outcome = events.finish().await?;
    /// println!("{}", outcome.losses);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as those of [`spawn`](Session::spawn).
    pub fn stream(
        self,
        capacity: usize,
    ) -> impl Future<Output = Result<EventStream, Failure>> + Send {
        let waker = Arc::<Mutex<Option<Waker>>>::default();
        let waking = Arc::clone(&waker);
        // If the future is dropped, the session must not go on.
        let guard = StopUnless(Some(StopHandle::of(&self.ending)));
        let started = in_thread(move || {
            let tell = move || {
                let waker = waking.lock().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            };
            let events = self.events_told(capacity.max(1), Some(Box::new(tell)))?;
            Ok(EventStream { events: Some(events), waker })
        });
        async move {
            let stream = started.await;
            guard.forget();
            stream
        }
    }
}

/// Ends a session when it is dropped, unless it was told to forget it.
struct StopUnless(Option<StopHandle>);

impl StopUnless {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for StopUnless {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.stop();
        }
    }
}

impl EventStream {
    /// Returns a handle that asks the session to end. The stream then ends after the last events.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.events.as_ref().map_or_else(StopHandle::new, Events::stop_handle)
    }

    /// Ends the session, discards the events that were not received, and returns the outcome.
    ///
    /// # Errors
    /// [`Failure`] if the session failed.
    pub async fn finish(mut self) -> Result<Outcome, Failure> {
        match self.events.take() {
            Some(events) => in_thread(move || events.finish()).await,
            None => Ok(Outcome::default()),
        }
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some(events) = &self.events else { return Poll::Ready(None) };
        if let Ok(event) = events.try_next() {
            return Poll::Ready(Some(event));
        }
        *self.waker.lock() = Some(context.waker().clone());
        // An event may have arrived before the waker was set.
        match events.try_next() {
            Ok(event) => Poll::Ready(Some(event)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }
}

/// Asks the session to end. It ends in its own thread, so that no runtime is blocked.
impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            events.stop_handle().stop();
            // If the thread does not start, this drops the events, and so waits for the end, here.
            let _ = std::thread::Builder::new().spawn(move || drop(events));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The result of a thread, once it is there.
struct InThread<T>(Arc<Mutex<Slot<T>>>);

struct Slot<T> {
    result: Option<T>,
    waker: Option<Waker>,
}

/// Runs a function that blocks in a thread of its own.
fn in_thread<T, E>(run: impl FnOnce() -> Result<T, E> + Send + 'static) -> InThread<Result<T, E>>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let filling = Arc::clone(&slot);
    let fill = move |result| {
        let waker = {
            let mut slot = filling.lock();
            slot.result = Some(result);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    if let Err(cause) =
        std::thread::Builder::new().name("dtrace-async".to_owned()).spawn(move || fill(run()))
    {
        slot.lock().result = Some(Err(Error::System { attempt: "start a thread", cause }.into()));
    }
    InThread(slot)
}

impl<T> Future for InThread<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock();
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
