//! Settings of the delivery of any session, live or recorded.

use std::time::Duration;

use super::session::{Session, Source};
use crate::data::aggregation::{Mode, Order};
use crate::data::loss::LossPolicy;
use crate::decode::stop::StopHandle;

impl<S: Source, C> Session<S, C> {
    /// Sets how the values of a walk relate to the previous walk. The default is [`Mode::Cumulative`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.source.delivery().mode = mode;
        self
    }

    /// Sets the order of the entries in a walk. With [`Mode::Delta`], an order by value sorts the differences.
    /// The default is [`Order::Value`] for a live session, and the recorded order for a recording.
    ///
    /// libdtrace sorts the totals of a live session. Differences and recordings are sorted in this process,
    /// which delivers such a walk only when it is complete.
    pub fn order(mut self, order: Order) -> Self {
        self.source.delivery().order = Some(order);
        self
    }

    /// Sets what happens when data are lost. The default is [`LossPolicy::Warn`].
    pub fn losses(mut self, policy: LossPolicy) -> Self {
        self.source.delivery().losses = policy;
        self
    }

    /// Limits the size of a frame. A larger one ends the session as damaged. The default is 64 MiB. The
    /// largest frames are single firings with many records and text. Decoding takes at most a small multiple
    /// of this and of [`memory_limit`](Session::memory_limit) in memory.
    ///
    /// ```no_run
    /// // A recording from a stranger.
    /// dtrace_consumer::replay("upload.dtrace")
    ///     .frame_limit(1 << 20)
    ///     .memory_limit(64 << 20)
    ///     .walk(|entry| Ok(println!("{} {}", entry.name(), entry.number()?)))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        *self.source.frame_limit() = Some(bytes);
        self
    }

    /// Limits the approximate memory for what must be kept of the stream. Exceeding it ends the session as
    /// damaged. The default is 1 GiB for a recording. Live sessions have no limit by default.
    ///
    /// A session keeps descriptions of probes, clauses, aggregations and symbols, events for the outcome, and
    /// entries of aggregations for `printa()`, for joined walks, for [`Mode::Delta`], and for walks that it
    /// sorts. Long sessions that keep meeting new symbols or processes need more and more.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.source.delivery().memory_limit = bytes;
        self
    }

    /// Lets `handle` end the session, from other threads and from handlers. Call it several times for several
    /// handles.
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        handle.attach(&self.ending);
        self
    }

    /// Limits how long the session may take, from the call that starts it. At the deadline it ends as with
    /// [`StopHandle::stop`]: everything recorded by then is delivered, a traced command is ended, and
    /// [`Outcome::ended_by`](crate::Outcome::ended_by) is
    /// [`EndedBy::Deadline`](crate::session::EndedBy::Deadline). A session that has not ended 5 seconds later,
    /// because it has not even started or has too much to deliver, is aborted and fails with
    /// [`Error::Deadline`](crate::Error::Deadline).
    ///
    /// A handler that is running is not interrupted, nor is a reader of a recording. By default there is no
    /// deadline.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let outcome = dtrace_consumer::run_synchronous(
    ///     "syscall:::entry /pid == $target/ { @[probefunc] = count(); }",
    ///     ["./submission"],
    /// )
    /// .deadline(Duration::from_secs(30))
    /// .walk(|entry| Ok(println!("{} {}", entry.key::<String>(0)?, entry.number()?)))
    /// .run()?;
    /// println!("{:?}: {:?}", outcome.ended_by, outcome.command);
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.source.delivery().deadline = Some(limit);
        self
    }

    /// Delivers the entries that each `printa()` of the script prints, together with its record; see
    /// [`Record::aggregated`](crate::Record::aggregated). A replay with this setting fails if the recording has
    /// no such entries.
    ///
    /// ```no_run
    /// let script = "syscall:::entry { @[execname] = count(); } tick-1s { printa(@); clear(@); }";
    /// dtrace_consumer::trace(script)
    ///     .printed_entries()
    ///     .chewrec(|record| {
    ///         for entry in record.aggregated() {
    ///             println!("{} {}", entry.key::<String>(0)?, entry.number()?);
    ///         }
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn printed_entries(mut self) -> Self {
        self.source.delivery().demands.printed = true;
        self
    }

    /// Has every record formatted, as an `out` closure does. [`Firing::text`](crate::Firing::text)
    /// and [`Firing::output`](crate::Firing::output) then return the text. A replay with this setting fails if
    /// the recording has no text.
    pub fn formatted(mut self) -> Self {
        self.source.delivery().demands.text = true;
        self
    }

    /// Joins the values of several aggregations by their keys, for
    /// [`Consumer::walk_joined`](crate::Consumer::walk_joined). Call it several times for several joins.
    pub fn join<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let delivery = self.source.delivery();
        names.iter().for_each(|name| delivery.name_aggregation(name, "walk_joined"));
        delivery.joins.push(names);
        self
    }
}
