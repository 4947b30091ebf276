//! Which handler receives each frame of a stream?
//!
//! The dispatcher keeps descriptions, decodes firings and aggregations with them, and passes these on.
//! Everything else goes into the outcome.

#[cfg(all(test, feature = "live"))]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::consumer::{Consumer, Wants};
use super::contents::{Contents, Demands, NamedAggregation};
use super::delivery::Delivery;
use super::described::Described;
use super::entry::OwnedEntry;
use super::firing::Firing;
use super::guard::call;
use super::joined::Join;
use super::kept::Kept;
use super::notes::{Noted, Notes};
use super::ordered::Ordered;
use super::speak;
use super::told::Told;
use super::walks::Walks;
use crate::data::loss::{DropReport, Fault, LossPolicy};
#[cfg(feature = "live")]
use crate::data::outcome::CommandStream;
use crate::data::outcome::{EndedBy, Outcome};
use crate::data::record::Action;
use crate::data::warning::Warning;
use crate::error::Error;
use crate::error::explain::explain_recorded;
use crate::error::failure::Failure;
use crate::stream::frame::Frame;
use crate::stream::packed::Unpacked;
use crate::stream::payload::{EntryFrame, FailureFrame, FiringFrame, StepTimes};
use crate::stream::wire::{Malformed, Take, Wire};

/// The effect of a frame on the reader of the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Go on reading.
    Continue,
    /// Tracing is on.
    Started,
    /// The worker has carried out [`Command::CatchUp`](crate::stream::job::Command::CatchUp).
    CaughtUp,
    /// The worker has failed.
    Failed(FailureFrame),
    /// Everything has been delivered.
    End,
}

/// Keeps the stream's descriptions, and calls the handlers.
pub(crate) struct Dispatcher<'c> {
    consumer: Box<dyn Consumer + 'c>,
    wants: Wants,
    pub(crate) outcome: Outcome,
    losses: LossPolicy,
    told: Told,
    demands: Demands,
    contents: Contents,
    /// Runs the commands of `system()`. Without it they are output like any other.
    system: Option<fn(&[u8])>,
    described: Described,
    unpacked: Unpacked,
    walks: Walks,
    ordered: Ordered,
    notes: Arc<Notes>,
    joins: Vec<Join>,
    named: BTreeSet<NamedAggregation>,
    /// The entries that the `printa()` of the next firing prints.
    printed: Vec<OwnedEntry>,
    printing: bool,
    /// Their size in bytes.
    printed_size: usize,
    kept: Kept,
    /// The warnings that came from workers that failed to start. The next one may repeat them.
    warned: Vec<Warning>,
    started: bool,
}

impl<'c> Dispatcher<'c> {
    pub(crate) fn new(consumer: impl Consumer + 'c, delivery: &Delivery) -> Dispatcher<'c> {
        Dispatcher {
            wants: consumer.wants(),
            consumer: Box::new(consumer),
            outcome: Outcome::default(),
            losses: delivery.losses,
            told: Told::default(),
            demands: delivery.demands,
            contents: Contents::default(),
            system: None,
            described: Described::default(),
            unpacked: Unpacked::default(),
            walks: Walks::new(delivery.mode),
            ordered: Ordered::new(delivery.sorts_by()),
            notes: Arc::clone(&delivery.notes),
            joins: delivery.joins.iter().cloned().map(Join::new).collect(),
            named: delivery.named.clone(),
            printed: Vec::new(),
            printing: false,
            printed_size: 0,
            kept: Kept::up_to(delivery.memory_limit),
            warned: Vec::new(),
            started: false,
        }
    }

    /// Sets the function that runs the commands of `system()`.
    pub(crate) fn with_system(mut self, run: Option<fn(&[u8])>) -> Dispatcher<'c> {
        self.system = run;
        self
    }

    /// Returns what the handlers want.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// Forgets a worker that failed to start; the next one describes everything anew.
    pub(crate) fn restart(&mut self) {
        self.warned.append(&mut self.outcome.warnings);
        self.outcome = Outcome { timings: self.outcome.timings, ..Outcome::default() };
        self.described = Described::default();
        self.contents = Contents::default();
        self.forget_printed();
        self.printing = false;
        self.kept.restart();
    }

    /// Ends a session after its delivery, and calls `on_stop`.
    pub(crate) fn finish(mut self, result: Result<EndedBy, Error>) -> Result<Outcome, Failure> {
        let result = result.map(|by| self.outcome.ended_by = by);
        let stopped = self.stop();
        match result.and(stopped) {
            Ok(()) => Ok(self.outcome),
            Err(error) => {
                self.outcome.ended_by = EndedBy::Failure;
                Err(Failure { error, outcome: Box::new(self.outcome) })
            }
        }
    }

    /// Ends a session that failed, and calls `on_stop`.
    pub(crate) fn fail(mut self, error: Error) -> Failure {
        // The first error is the cause.
        let _ = self.stop();
        Failure { error, outcome: Box::new(self.outcome) }
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.take_notes();
        if !self.started {
            return Ok(());
        }
        call("on_stop", || self.consumer.on_stop(&self.outcome))
    }

    /// Handles a frame. Errors report its `position` in the stream.
    pub(crate) fn take(&mut self, frame: Frame<'_>, position: u64) -> Result<Step, Error> {
        let malformed = |cause| Error::damage(position, cause);
        let entries = self.entries_kept();
        self.kept.note(&frame, entries).map_err(malformed)?;
        match frame {
            Frame::Firing(frame) => self.firing(frame, position)?,
            Frame::Entry(frame) => self.entry(frame, position)?,
            Frame::SnapshotEnd => self.end_snapshot()?,
            Frame::PrintaBegin => self.printing = true,
            Frame::Probe(probe) => self.described.add_probe(probe),
            Frame::Clause(clause) => self.described.add_clause(clause).map_err(malformed)?,
            Frame::Aggregation(frame) => {
                let platform = self.outcome.session.as_ref().map(|session| session.platform);
                self.described.add_aggregation(frame, platform).map_err(malformed)?;
            }
            Frame::Symbol(symbol) => self.described.add_symbol(symbol),
            Frame::Drop(report) => self.dropped(&report)?,
            Frame::Fault(fault) => self.fault(&fault)?,
            Frame::OptionChange(change) => {
                call("on_option", || self.consumer.on_option(&change))?;
                self.outcome.options.push(change);
            }
            Frame::Process(event) => {
                call("on_process", || self.consumer.on_process(&event))?;
                self.outcome.processes.push(event);
            }
            Frame::Warning(warning) => self.warn(warning),
            Frame::Report(text) if self.wants.any(Wants::REPORT) => {
                call("report", || self.consumer.report(text))?;
            }
            // Without a version, libdtrace is not open yet.
            Frame::Begin(info) if info.library_version.is_empty() => {}
            Frame::Begin(info) => self.outcome.session = Some(info),
            Frame::Contents(frame) => self.contents.set(frame, self.wants, self.demands)?,
            Frame::SessionFailed(failure) => {
                return Err(explain_recorded(failure, &self.outcome.losses));
            }
            Frame::Program(info) => self.outcome.programs.push(info),
            Frame::Options(options) => self.outcome.initial_options = options,
            Frame::Exit(status) => self.outcome.exit = Some(status),
            Frame::CommandEnd(end) => self.outcome.command = Some(end),
            Frame::Started(times) => return self.start(times),
            Frame::CaughtUp => return Ok(Step::CaughtUp),
            Frame::Failure(failure) => return Ok(Step::Failed(failure)),
            Frame::End => return Ok(Step::End),
            Frame::SnapshotBegin | Frame::Report(_) | Frame::Alive => {}
            Frame::Listed(_) | Frame::Found(_) | Frame::FoundType(_) => {}
            Frame::Origin(_) | Frame::Edited(_) | Frame::Arrived(_) => {}
        }
        Ok(Step::Continue)
    }

    fn start(&mut self, times: StepTimes) -> Result<Step, Error> {
        let t = &mut self.outcome.timings;
        t.open = Duration::from_nanos(times.open);
        t.compile = Duration::from_nanos(times.compile);
        t.enable = Duration::from_nanos(times.enable);
        t.go = Duration::from_nanos(times.go);
        self.started = true;
        for warning in self.contents.unknown_aggregations(&self.named) {
            self.warn(warning);
        }
        call("on_start", || self.consumer.on_start(&self.outcome))?;
        self.take_notes();
        Ok(Step::Started)
    }

    /// Handles the payload of a firing, which is a frame like any other, but by far the most frequent.
    pub(crate) fn take_firing(&mut self, payload: &[u8], position: u64) -> Result<(), Error> {
        let frame = FiringFrame::take(&mut Take::new(payload));
        self.firing(frame.map_err(|cause| Error::damage(position, cause))?, position)
    }

    #[inline]
    fn firing(&mut self, frame: FiringFrame<'_>, position: u64) -> Result<(), Error> {
        let (Some(probe), Some(clause)) =
            (self.described.probes.get(frame.probe), self.described.clauses.get(frame.clause))
        else {
            let cause = Malformed::new("firing", "its probe or clause is not described");
            return Err(Error::damage(position, cause));
        };
        let data = clause
            .data(frame.data, &mut self.unpacked)
            .map_err(|cause| Error::damage(position, cause))?;
        self.outcome.firings += 1;
        let firing = Firing {
            frame: &frame,
            data,
            probe,
            statement: clause.statement,
            fields: &clause.fields,
            symbols: &self.described.symbols,
            printed: &self.printed,
            aggregations: &self.described.aggregations,
        };
        if self.wants.any(Wants::CHEW) {
            call("chew", || self.consumer.chew(&firing))?;
        }
        if self.wants.any(Wants::CHEWREC) {
            for record in firing.records() {
                call("chewrec", || self.consumer.chewrec(&record))?;
            }
        }
        for output in firing.output() {
            match self.system.filter(|_| output.action() == Some(Action::System)) {
                Some(run) => run(output.bytes()),
                None if self.wants.any(Wants::OUT) => {
                    call("out", || self.consumer.out(&output))?;
                }
                None => {}
            }
        }
        self.forget_printed();
        self.take_notes();
        Ok(())
    }

    /// Handles an entry of an aggregation: of a walk, or of a `printa()`.
    fn entry(&mut self, frame: EntryFrame<'_>, position: u64) -> Result<(), Error> {
        let malformed = |field, reason| Error::damage(position, Malformed::new(field, reason));
        let described = &self.described;
        let aggregation = described
            .aggregations
            .get(&frame.aggregation)
            .ok_or_else(|| malformed("aggregation", "not described"))?;
        let keys = self
            .unpacked
            .unpack(&aggregation.packing, frame.keys)
            .map_err(|cause| Error::damage(position, cause))?;
        let frame = EntryFrame { keys, ..frame };
        if self.printing {
            let entry = OwnedEntry::of_total(&frame);
            self.printed_size += entry.size();
            self.printed.push(entry);
            return Ok(());
        }
        let entry = self
            .walks
            .entry(aggregation, frame, &described.symbols)
            .map_err(|_| malformed("aggregation value", "invalid for its function"))?;
        match &entry {
            Some(entry) if self.ordered.collects() => self.ordered.add(entry),
            Some(entry) => {
                call("walk", || self.consumer.walk(entry))?;
                self.joins.iter_mut().for_each(|join| join.add(entry));
                self.take_notes();
            }
            None => {}
        }
        Ok(())
    }

    fn end_snapshot(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.printing) {
            return Ok(());
        }
        let described = &self.described;
        self.ordered.finish(&described.aggregations, &described.symbols, |entry| {
            call("walk", || self.consumer.walk(entry))?;
            self.joins.iter_mut().for_each(|join| join.add(entry));
            Ok::<(), Error>(())
        })?;
        for join in &mut self.joins {
            join.finish(&described.aggregations, &described.symbols, |row| {
                call("walk_joined", || self.consumer.walk_joined(row))
            })?;
        }
        call("walked", || self.consumer.walked())?;
        self.take_notes();
        Ok(())
    }

    fn dropped(&mut self, report: &DropReport) -> Result<(), Error> {
        if self.outcome.losses.count_drop(report) {
            self.kept.add_probe(None);
        }
        if self.losses == LossPolicy::Warn {
            let is_new = self.told.dropped(report);
            is_new.then(|| self.kept.add_probe(None));
        }
        call("on_drop", || self.consumer.on_drop(report))?;
        self.check_losses()
    }

    fn fault(&mut self, fault: &Fault) -> Result<(), Error> {
        if self.outcome.losses.count_fault(fault) {
            self.kept.add_probe(fault.probe.as_ref());
        }
        if self.losses == LossPolicy::Warn {
            let is_new = self.told.failed(fault);
            is_new.then(|| self.kept.add_probe(fault.probe.as_ref()));
        }
        call("on_fault", || self.consumer.on_fault(fault))?;
        self.check_losses()
    }

    fn check_losses(&self) -> Result<(), Error> {
        match self.losses {
            LossPolicy::Fail => Err(Error::Lost(self.outcome.losses.clone())),
            LossPolicy::Count | LossPolicy::Warn => Ok(()),
        }
    }

    /// Delivers a line that the command has written.
    #[cfg(feature = "live")]
    pub(crate) fn command_line(&mut self, stream: CommandStream, line: &[u8]) -> Result<(), Error> {
        match stream {
            CommandStream::Stdout => call("command_stdout", || self.consumer.command_stdout(line)),
            CommandStream::Stderr => call("command_stderr", || self.consumer.command_stderr(line)),
        }
    }

    /// Converts a failure of the worker into an error.
    pub(crate) fn explain(&self, failure: FailureFrame) -> Error {
        self.contents.explain(failure, &self.outcome)
    }

    /// Keeps a warning, and tells the user.
    pub(crate) fn warn(&mut self, warning: Warning) {
        if !self.warned.contains(&warning) {
            speak::warn(&warning.to_string());
        }
        self.outcome.warnings.push(warning);
    }

    /// Takes over what the handlers have noted.
    #[inline]
    fn take_notes(&mut self) {
        if let Some(noted) = self.notes.take() {
            self.take_over(noted);
        }
    }

    fn take_over(&mut self, noted: Noted) {
        self.outcome.misfits = self.outcome.misfits.saturating_add(noted.misfits);
        for warning in noted.warnings {
            self.kept.add_warning(&warning);
            self.warn(warning);
        }
    }

    /// Returns the approximate size of the kept entries of aggregations, in bytes.
    fn entries_kept(&self) -> usize {
        let joins = self.joins.iter().map(Join::kept);
        joins
            .chain([self.walks.kept(), self.ordered.kept(), self.printed_size])
            .fold(0, |sum: usize, n| sum.saturating_add(n))
    }

    fn forget_printed(&mut self) {
        if !self.printed.is_empty() {
            self.printed.clear();
            self.printed_size = 0;
        }
    }
}
