//! Sessions before they run.

use std::fmt;
use std::sync::Arc;

use crate::data::outcome::Outcome;
use crate::decode::consumer::Consumer;
use crate::decode::deadline::Watch;
use crate::decode::delivery::Delivery;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::error::failure::Failure;

/// A session that is being set up.
///
/// `S` is the source of its data: [`Live`](crate::session::Live) tracing, live tracing of a command
/// ([`Traced`](crate::session::Traced)), or a recording ([`Recorded`](crate::session::Recorded)). Each source
/// has only the settings that apply to it. `C` receives the data: [`chew`](Session::chew),
/// [`walk`](Session::walk) and the like add handlers one by one, and [`consumer`](Session::consumer) adds a
/// whole set.
#[must_use = "a session does nothing until it is run or spawned"]
pub struct Session<S, C = ()> {
    pub(super) source: S,
    pub(super) consumer: C,
    pub(super) ending: Arc<Ending>,
}

/// The source of a [`Session`]'s data.
pub trait Source: sealed::Source {}

impl<S: sealed::Source> Source for S {}

pub(crate) mod sealed {
    use super::*;

    /// The operations of every source. Only types of this crate implement it.
    pub trait Source {
        /// Returns the settings of the delivery.
        fn delivery(&mut self) -> &mut Delivery;

        /// Returns the setting of the largest accepted frame, in bytes.
        fn frame_limit(&mut self) -> &mut Option<usize>;

        /// Returns whether there is text, as far as known before it runs.
        fn has_text(&mut self) -> bool;

        /// Returns the error of a session that did not start, with the limit of this process that explains it.
        fn explained(error: Error) -> Error {
            error
        }

        /// Delivers everything. Calls `started` before the first data.
        ///
        /// # Errors
        /// Returns why the delivery is incomplete.
        fn run<'c>(
            self,
            consumer: impl Consumer + 'c,
            ending: &Arc<Ending>,
            started: impl FnOnce(),
        ) -> Result<Outcome, Failure>;
    }
}

impl<S, C> Session<S, C> {
    /// Replaces the consumer.
    pub(super) fn map<D>(self, change: impl FnOnce(C) -> D) -> Session<S, D> {
        let Session { source, consumer, ending } = self;
        Session { source, consumer: change(consumer), ending }
    }
}

impl<S> Session<S> {
    pub(super) fn of(source: S) -> Session<S> {
        Session { source, consumer: (), ending: Arc::default() }
    }
}

impl<S: Source, C: Consumer> Session<S, C> {
    /// Delivers everything to the handlers, which are called on this thread.
    ///
    /// A live session traces until the script calls `exit()`, a [stop handle](Session::stop_handle) or the
    /// [deadline](Session::deadline) ends it, or its command ends; see [`Outcome::ended_by`]. If a handler
    /// fails or the worker dies, tracing ends, but the command keeps running. `run` returns the error when the
    /// command has ended.
    ///
    /// # Errors
    /// [`Failure`], with everything delivered before: the script does not compile
    /// ([`Error::Compile`](crate::Error::Compile)), the command does not start
    /// ([`Error::Command`](crate::Error::Command)), tracing is not possible
    /// ([`Error::Unavailable`](crate::Error::Unavailable)), a handler failed
    /// ([`Error::Callback`](crate::Error::Callback), [`Error::Panicked`](crate::Error::Panicked)), a
    /// recording is damaged ([`Error::Stream`](crate::Error::Stream))… A command that fails is not an error;
    /// see [`Outcome::command`].
    pub fn run(self) -> Result<Outcome, Failure> {
        self.run_until(|| ())
    }

    /// Delivers everything. Calls `started` before the first data.
    pub(super) fn run_until(self, started: impl FnOnce()) -> Result<Outcome, Failure> {
        let Session { mut source, consumer, ending } = self;
        source.delivery().check()?;
        let deadline = source.delivery().deadline;
        let watch = deadline.map(|limit| Watch::start(limit, &ending)).transpose();
        let _watch = watch.map_err(S::explained)?;
        source.run(consumer, &ending, started)
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Session<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("source", &self.source).finish_non_exhaustive()
    }
}
