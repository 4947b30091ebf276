//! A session as a channel of events, or an iterator, instead of closures.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::aggregation::{Aggregated, AggregationFunction, AggregationValue};
use crate::builder::Builder;
use crate::consumer_thread::{ConsumerThread, SendClosures};
use crate::error::{Error, Failure};
use crate::firing::Firing;
use crate::loss::{DropReport, Fault};
use crate::outcome::Outcome;
use crate::probe::Probe;
use crate::stop::StopHandle;
use crate::value::Value;

/// Something that a session has delivered, on its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A probe has fired.
    Firing(FiringEvent),
    /// An entry of a walk over the aggregations.
    Aggregated(AggregatedEvent),
    /// A walk over the aggregations is complete.
    Walked,
    /// Data were dropped.
    Drop(DropReport),
    /// A clause failed at run time.
    Fault(Fault),
}

/// A [`Firing`] that lives on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringEvent {
    /// The probe that fired.
    pub probe: Arc<Probe>,
    /// The CPU on which it fired.
    pub cpu: u32,
    /// libdtrace's number of the statement.
    pub statement: u32,
    /// What its actions recorded; see [`Firing::values`].
    pub values: Vec<Value>,
    /// What dtrace(1) would print; empty unless the session is
    /// [`formatted`](Builder::formatted).
    pub text: Vec<u8>,
}

/// An [`Aggregated`] entry that lives on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatedEvent {
    /// The aggregation's name.
    pub name: Arc<str>,
    /// The aggregating function.
    pub function: AggregationFunction,
    /// The keys.
    pub keys: Vec<Value>,
    /// The value.
    pub value: AggregationValue,
}

impl From<&Aggregated<'_>> for AggregatedEvent {
    fn from(entry: &Aggregated<'_>) -> AggregatedEvent {
        AggregatedEvent {
            name: entry.name().into(),
            function: entry.function(),
            keys: entry.keys().map(|key| key.to_owned()).collect(),
            value: entry.value().clone(),
        }
    }
}

/// The events of a running session; made by [`Builder::events`].
///
/// As an iterator it waits for the next event, and ends with the session. Dropping it ends the
/// session.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    thread: ConsumerThread,
}

impl Builder<SendClosures> {
    /// Starts tracing, and delivers events to a channel that holds `capacity` of them; when it is full,
    /// the session waits, and in the end the kernel drops and counts. Closures that were set for the
    /// same events are replaced.
    ///
    /// ```no_run
    /// use dtrace_consumer::{ConsumerThread, Event};
    ///
    /// let events = ConsumerThread::builder("syscall::openat:entry { trace(copyinstr(arg1)); }")
    ///     .events(1024)?;
    /// for event in events.into_iter().take(10) {
    ///     if let Event::Firing(firing) = event {
    ///         println!("{:?}", firing.values);
    ///     }
    /// }
    /// # Ok::<(), dtrace_consumer::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`spawn`](Builder::spawn).
    pub fn events(self, capacity: usize) -> Result<Events, Error> {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        let (entries, walks, drops, faults) =
            (sender.clone(), sender.clone(), sender.clone(), sender.clone());
        let mut probes: HashMap<u32, Arc<Probe>> = HashMap::new();
        let thread = self
            .chew(move |firing: &Firing<'_>| {
                let probe = probes
                    .entry(firing.probe().id)
                    .or_insert_with(|| Arc::new(firing.probe().clone()));
                Ok(sender.send(Event::Firing(FiringEvent {
                    probe: Arc::clone(probe),
                    cpu: firing.cpu(),
                    statement: firing.statement(),
                    values: firing.values().map(|value| value.to_owned()).collect(),
                    text: firing.text().to_vec(),
                }))?)
            })
            .walk(move |entry| Ok(entries.send(Event::Aggregated(entry.into()))?))
            .walked(move || Ok(walks.send(Event::Walked)?))
            .on_drop(move |report| Ok(drops.send(Event::Drop(report))?))
            .on_fault(move |fault| Ok(faults.send(Event::Fault(fault))?))
            .spawn()?;
        Ok(Events { receiver, thread })
    }
}

impl Events {
    /// The channel, to wait for it together with others.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Event> {
        &self.receiver
    }

    /// A handle that asks the session to end; its last events are still to be received then.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.thread.stop_handle()
    }

    /// Ends the session, throws away the events that were not received, and says how it went.
    ///
    /// # Errors
    /// [`Failure`], if the session failed.
    pub fn finish(self) -> Result<Outcome, Failure> {
        self.thread.stop_handle().stop();
        // The session may be waiting for room in the channel.
        self.receiver.iter().for_each(drop);
        self.thread.join()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.receiver.recv().ok()
    }
}
