//! Sessions that deliver to a channel.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::session::{Session, Source};
use super::thread::ConsumerThread;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::Outcome;
use crate::data::probe::Probe;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::event::{AggregatedEvent, Event, FiringEvent, Names, OutputEvent};
use crate::decode::firing::{Firing, Output};
use crate::decode::stop::StopHandle;
use crate::error::callback::CallbackResult;
use crate::error::failure::Failure;

/// The events of a running session, created by [`Session::events`].
///
/// As an iterator it waits for the next event, and ends with the session. Dropping it ends the session.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    thread: ConsumerThread,
}

impl<S, C> Session<S, C>
where
    S: Source + Send + 'static,
    C: Consumer + Send + 'static,
{
    /// Starts the session in its own thread and delivers its events to a channel of the given `capacity`.
    /// When the channel is full, the session waits; the kernel then drops and counts data once its buffers
    /// are full. Handlers that were added before are called, too.
    ///
    /// Text arrives as [`Event::Output`] if the session is [`formatted`](Session::formatted), or is a
    /// recording with text.
    ///
    /// ```no_run
    /// use dtrace_consumer::{Event, trace};
    ///
    /// let events = trace("syscall::openat:entry { trace(pid); trace(copyinstr(arg1)); }").events(1024)?;
    /// for event in events.into_iter().take(10) {
    ///     if let Event::Firing(firing) = event {
    ///         let (pid, path): (i32, String) = firing.row()?;
    ///         println!("{pid} {path}");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same as those of [`spawn`](Session::spawn).
    pub fn events(mut self, capacity: usize) -> Result<Events, Failure> {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        let text = self.source.has_text();
        let thread = self.consumer(Channel::new(sender, text)).spawn()?;
        Ok(Events { receiver, thread })
    }
}

impl Events {
    /// Returns the channel, to wait for it together with others.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Event> {
        &self.receiver
    }

    /// Returns a handle that asks the session to end. Its last events must still be received.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.thread.stop_handle()
    }

    /// Ends the session, discards the events that were not received, and returns the outcome.
    ///
    /// # Errors
    /// [`Failure`] if the session failed.
    pub fn finish(self) -> Result<Outcome, Failure> {
        self.thread.stop_handle().stop();
        // The session may be waiting for space in the channel.
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

/// Sends everything as events. Fails when nobody receives any more.
struct Channel {
    sender: Sender<Event>,
    text: bool,
    probes: HashMap<u32, Arc<Probe>>,
    /// The names of values, by statement and number of values.
    names: HashMap<(u32, usize), Names>,
}

impl Channel {
    fn new(sender: Sender<Event>, text: bool) -> Channel {
        Channel { sender, text, probes: HashMap::new(), names: HashMap::new() }
    }

    fn probe(&mut self, probe: &Probe) -> Arc<Probe> {
        Arc::clone(self.probes.entry(probe.id).or_insert_with(|| Arc::new(probe.clone())))
    }
}

impl Consumer for Channel {
    fn wants(&self) -> Wants {
        if self.text { Wants::CHEW | Wants::OUT } else { Wants::CHEW }
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        let probe = self.probe(firing.probe());
        let statement = (firing.statement(), firing.values().count());
        let names = self.names.entry(statement).or_insert_with(|| Names::of(firing));
        let event = FiringEvent::new(firing, probe, names.clone());
        Ok(self.sender.send(Event::Firing(event))?)
    }

    fn out(&mut self, output: &Output<'_>) -> CallbackResult {
        let probe = self.probe(output.probe());
        Ok(self.sender.send(Event::Output(OutputEvent::new(output, probe)))?)
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        Ok(self.sender.send(Event::Aggregated(AggregatedEvent::from(entry)))?)
    }

    fn walked(&mut self) -> CallbackResult {
        Ok(self.sender.send(Event::Walked)?)
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        Ok(self.sender.send(Event::Drop(report.clone()))?)
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        Ok(self.sender.send(Event::Fault(fault.clone()))?)
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        Ok(self.sender.send(Event::Option(change.clone()))?)
    }

    fn on_process(&mut self, event: &ProcessEvent) -> CallbackResult {
        Ok(self.sender.send(Event::Process(event.clone()))?)
    }
}
