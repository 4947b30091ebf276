//! Sessions that deliver to a channel.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

#[cfg(feature = "futures")]
use crossbeam_channel::TryRecvError;
use crossbeam_channel::{Receiver, Sender, TrySendError, select};

use super::session::{Session, Source};
use super::thread::ConsumerThread;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::{CommandStream, Outcome};
use crate::data::probe::Probe;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::event::{AggregatedEvent, CommandLine, Event, FiringEvent, Names, OutputEvent};
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
    /// What found no room in the channel once the session was asked to end.
    overflow: Receiver<Event>,
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
    /// A full channel does not keep the session from ending. Once the session has been asked to end, events
    /// without room in the channel are kept in memory until they are received or discarded. They are those
    /// that the kernel's buffers held by then.
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
    pub fn events(self, capacity: usize) -> Result<Events, Failure> {
        self.events_told(capacity, None)
    }

    /// Does what [`events`](Session::events) does, and calls `tell` after each event and after the last one.
    pub(super) fn events_told(
        mut self,
        capacity: usize,
        tell: Option<Tell>,
    ) -> Result<Events, Failure> {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        let (overflowing, overflow) = crossbeam_channel::unbounded();
        let text = self.source.has_text();
        let out =
            Out { sender, overflow: overflowing, overflows: false, stopped: self.ending.stopped() };
        let thread = self.consumer(Channel::new(out, tell, text)).spawn()?;
        Ok(Events { receiver, overflow, thread })
    }
}

impl Events {
    /// Returns the channel, to wait for it together with others. It does not hold more than its capacity: once
    /// the session has been asked to end, only iterating over [`Events`] returns all of the last events.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Event> {
        &self.receiver
    }

    /// Returns a handle that asks the session to end. Its last events can still be received.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.thread.stop_handle()
    }

    /// Ends the session, discards the events that were not received, and returns the outcome.
    ///
    /// # Errors
    /// [`Failure`] if the session failed.
    pub fn finish(self) -> Result<Outcome, Failure> {
        let Events { receiver, overflow, thread } = self;
        thread.stop_handle().stop();
        if !thread.is_current() {
            // Both end with the session.
            loop {
                select! {
                    recv(receiver) -> event => if event.is_err() { break },
                    recv(overflow) -> event => if event.is_err() { break },
                }
            }
        }
        thread.join()
    }

    /// Returns an event that has arrived; the error tells whether more may come.
    #[cfg(feature = "futures")]
    pub(super) fn try_next(&self) -> Result<Event, TryRecvError> {
        match self.receiver.try_recv() {
            Err(TryRecvError::Disconnected) => self.overflow.try_recv(),
            received => received,
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        // The channel is at its end when the session is over, and so are the events without room in it.
        self.receiver.recv().ok().or_else(|| self.overflow.try_recv().ok())
    }
}

/// Is called after each event and after the last one.
pub(super) type Tell = Box<dyn FnMut() + Send>;

/// The end of a channel that the session sends to.
struct Out {
    sender: Sender<Event>,
    overflow: Sender<Event>,
    overflows: bool,
    stopped: Receiver<Infallible>,
}

impl Out {
    /// Waits for room in the channel, unless the session was asked to end. Fails when nobody receives any more.
    fn send(&mut self, event: Event) -> CallbackResult {
        if !self.overflows {
            let event = match self.sender.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(event)) => event,
                Err(gone) => return Err(gone.into()),
            };
            select! {
                send(self.sender, event) -> sent => return Ok(sent?),
                recv(self.stopped) -> _ => {
                    self.overflows = true;
                    return Ok(self.overflow.send(event)?);
                }
            }
        }
        Ok(self.overflow.send(event)?)
    }
}

/// Sends everything as events.
struct Channel {
    /// Dropped before the receiver is told of the end.
    out: Option<Out>,
    tell: Option<Tell>,
    text: bool,
    probes: HashMap<u32, Arc<Probe>>,
    /// The names of values, by statement and number of values.
    names: HashMap<(u32, usize), Names>,
}

impl Channel {
    fn new(out: Out, tell: Option<Tell>, text: bool) -> Channel {
        let (probes, names) = Default::default();
        Channel { out: Some(out), tell, text, probes, names }
    }

    fn send(&mut self, event: Event) -> CallbackResult {
        if let Some(out) = &mut self.out {
            out.send(event)?;
        }
        if let Some(tell) = &mut self.tell {
            tell();
        }
        Ok(())
    }

    fn probe(&mut self, probe: &Probe) -> Arc<Probe> {
        Arc::clone(self.probes.entry(probe.id).or_insert_with(|| Arc::new(probe.clone())))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.out = None;
        if let Some(tell) = &mut self.tell {
            tell();
        }
    }
}

impl Consumer for Channel {
    fn wants(&self) -> Wants {
        // Events of a recording are what it has.
        let wants = if self.text { Wants::CHEW | Wants::OUT } else { Wants::CHEW };
        wants.if_recorded()
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        let probe = self.probe(firing.probe());
        let statement = (firing.statement(), firing.values().count());
        let names = self.names.entry(statement).or_insert_with(|| Names::of(firing));
        let event = FiringEvent::new(firing, probe, names.clone());
        self.send(Event::Firing(event))
    }

    fn out(&mut self, output: &Output<'_>) -> CallbackResult {
        let probe = self.probe(output.probe());
        self.send(Event::Output(OutputEvent::new(output, probe)))
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        self.send(Event::Aggregated(AggregatedEvent::from(entry)))
    }

    fn walked(&mut self) -> CallbackResult {
        self.send(Event::Walked)
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        self.send(Event::Drop(report.clone()))
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        self.send(Event::Fault(fault.clone()))
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        self.send(Event::Option(change.clone()))
    }

    fn on_process(&mut self, event: &ProcessEvent) -> CallbackResult {
        self.send(Event::Process(event.clone()))
    }

    fn command_stdout(&mut self, line: &[u8]) -> CallbackResult {
        self.send(Event::Line(CommandLine::new(CommandStream::Stdout, line)))
    }

    fn command_stderr(&mut self, line: &[u8]) -> CallbackResult {
        self.send(Event::Line(CommandLine::new(CommandStream::Stderr, line)))
    }
}
