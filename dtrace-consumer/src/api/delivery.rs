//! What can be set about the delivery of any session, live or recorded?

use super::session::{Session, Source};
use crate::data::aggregation::Mode;
use crate::data::loss::LossPolicy;
use crate::decode::stop::StopHandle;

impl<S: Source, C> Session<S, C> {
    /// What the values of a walk stand for; [`Mode::Cumulative`] unless set.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.source.delivery().mode = mode;
        self
    }

    /// What to do when something is lost; [`LossPolicy::Warn`] unless set.
    pub fn losses(mut self, policy: LossPolicy) -> Self {
        self.source.delivery().losses = policy;
        self
    }

    /// Ends the session as damaged at a frame of more than `bytes`; 64 MiB unless set. The largest frames
    /// are those of single firings, with all of their records and text. The memory that decoding takes is
    /// bounded by a small multiple of it and of [`memory_limit`](Session::memory_limit).
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        *self.source.frame_limit() = Some(bytes);
        self
    }

    /// Ends the session as damaged when more than about `bytes` would have to be kept of what it
    /// describes. Unless set, the limit is 1 GiB for a recording, and there is none for a live session.
    ///
    /// What is kept are descriptions of probes, clauses, aggregations and symbols, events for the
    /// outcome, and entries of aggregations for `printa()`, for joined walks and for
    /// [`Mode::Delta`]. Long sessions that meet ever new symbols or processes keep ever more.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.source.delivery().memory_limit = bytes;
        self
    }

    /// Lets `handle` end the session, from other threads and from handlers.
    pub fn stop_handle(mut self, handle: &StopHandle) -> Self {
        self.stop = handle.clone();
        self
    }

    /// Sets the values of several aggregations side by side, for
    /// [`Consumer::walk_joined`](crate::Consumer::walk_joined). May be called several times, for several
    /// joins.
    pub fn join<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.source.delivery().joins.push(names.into_iter().map(Into::into).collect());
        self
    }
}
