//! What is a session, before it runs?

use std::fmt;

use crate::data::outcome::Outcome;
use crate::decode::consumer::Consumer;
use crate::decode::dispatcher::Delivery;
use crate::decode::stop::StopHandle;
use crate::error::failure::Failure;

/// A session that is being set up.
///
/// `S` is where its data come from: [`Live`](crate::session::Live) tracing,
/// live tracing around a command ([`Traced`](crate::session::Traced)), or a
/// recording ([`Recorded`](crate::session::Recorded)). What cannot be set for one of them does not exist there. `C` is who
/// receives the data: handlers are added by [`chew`](Session::chew), [`walk`](Session::walk) and the
/// like, or all together by [`consumer`](Session::consumer).
#[must_use = "a session does nothing until it is run or spawned"]
pub struct Session<S, C = ()> {
    pub(super) source: S,
    pub(super) consumer: C,
    pub(super) stop: StopHandle,
}

/// Where the data of a [`Session`] come from.
pub trait Source: sealed::Source {}

impl<S: sealed::Source> Source for S {}

pub(crate) mod sealed {
    use super::*;

    /// What every source can do. Only this crate's own are sources.
    pub trait Source {
        /// How the data are delivered.
        fn delivery(&mut self) -> &mut Delivery;

        /// The largest frame that is accepted, in bytes.
        fn frame_limit(&mut self) -> &mut Option<usize>;

        /// Whether there is text, as far as that is known before it runs.
        fn has_text(&self) -> bool;

        /// Delivers everything; `started` is called when the first data may come.
        ///
        /// # Errors
        /// Why not everything was delivered.
        fn run<'c>(
            self,
            consumer: impl Consumer + 'c,
            stop: StopHandle,
            started: impl FnOnce(),
        ) -> Result<Outcome, Failure>;
    }
}

impl<S, C> Session<S, C> {
    /// Replaces the consumer.
    pub(super) fn map<D>(self, change: impl FnOnce(C) -> D) -> Session<S, D> {
        let Session { source, consumer, stop } = self;
        Session { source, consumer: change(consumer), stop }
    }
}

impl<S> Session<S> {
    pub(super) fn of(source: S) -> Session<S> {
        Session { source, consumer: (), stop: StopHandle::new() }
    }
}

impl<S: Source, C: Consumer> Session<S, C> {
    /// Delivers everything to the handlers, which are called on this thread.
    ///
    /// A live session traces until the script calls `exit()`, a [stop handle](Session::stop_handle)
    /// ends it, or its command ends. When a handler fails or the worker dies, tracing ends and the
    /// command is killed, as dtrace(1) kills commands that it has created.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the script does not compile
    /// ([`Error::Compile`](crate::Error::Compile)), the command cannot be started
    /// ([`Error::Command`](crate::Error::Command)), tracing is not possible
    /// ([`Error::Unavailable`](crate::Error::Unavailable)), a handler failed
    /// ([`Error::Callback`](crate::Error::Callback), [`Error::Panicked`](crate::Error::Panicked)), a
    /// recording is damaged ([`Error::Stream`](crate::Error::Stream))… That a command fails is no
    /// error; see [`Outcome::command`].
    pub fn run(self) -> Result<Outcome, Failure> {
        let Session { source, consumer, stop } = self;
        source.run(consumer, stop, || ())
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Session<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("source", &self.source).finish_non_exhaustive()
    }
}
