//! From the frames of a stream to the user's closures.
//!
//! The same for live sessions and recordings: descriptions are kept, firings and aggregations are
//! decoded against them and handed to the closures, and the rest is put into the outcome.

mod kept;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self::kept::Kept;
pub(crate) use self::kept::PLACE;
use crate::aggregation::{Aggregated, Aggregation, Join, Joined, Mode, ParameterEncoding, Walks};
use crate::description::{OptionChange, Platform, ProcessEvent};
use crate::error::{CallbackResult, Error};
use crate::firing::{Firing, Output, Printed, Record};
use crate::layout::{self, Field};
use crate::loss::{DropReport, Fault};
use crate::outcome::Outcome;
use crate::probe::Probe;
use crate::record::Action;
use crate::row::RowError;
use crate::stream::frame::{FailureFrame, FiringFrame, Frame};
use crate::stream::wire::Malformed;
use crate::symbol::Symbols;

pub(crate) type Closure<'f, T> = Option<Box<dyn FnMut(T) -> CallbackResult + 'f>>;

/// Closures that stay on the calling thread and may borrow from it.
#[expect(clippy::type_complexity, reason = "each type is what the builder's method takes")]
#[derive(Default)]
pub struct Closures<'f> {
    pub(crate) walk: Option<Box<dyn for<'a> FnMut(&Aggregated<'a>) -> CallbackResult + 'f>>,
    pub(crate) joined_names: Vec<String>,
    pub(crate) joined: Option<Box<dyn for<'a> FnMut(&Joined<'a>) -> CallbackResult + 'f>>,
    pub(crate) walked: Option<Box<dyn FnMut() -> CallbackResult + 'f>>,
    pub(crate) out: Option<Box<dyn for<'a> FnMut(&Output<'a>) -> CallbackResult + 'f>>,
    pub(crate) chew: Option<Box<dyn for<'a> FnMut(&Firing<'a>) -> CallbackResult + 'f>>,
    pub(crate) chewrec: Option<Box<dyn for<'a> FnMut(&Record<'a>) -> CallbackResult + 'f>>,
    pub(crate) rows: Option<Box<dyn for<'a> FnMut(&Firing<'a>) -> Result<(), RowsError> + 'f>>,
    pub(crate) report: Option<Box<dyn for<'a> FnMut(&'a [u8]) -> CallbackResult + 'f>>,
    pub(crate) on_start: Option<Box<dyn for<'a> FnMut(&'a Outcome) -> CallbackResult + 'f>>,
    pub(crate) on_option: Option<Box<dyn for<'a> FnMut(&'a OptionChange) -> CallbackResult + 'f>>,
    pub(crate) on_process: Option<Box<dyn for<'a> FnMut(&'a ProcessEvent) -> CallbackResult + 'f>>,
    pub(crate) on_drop: Closure<'f, DropReport>,
    pub(crate) on_fault: Closure<'f, Fault>,
}

/// What a rows closure may fail with: its own error, or the row.
pub(crate) enum RowsError {
    Row(RowError),
    Callback(crate::error::CallbackError),
}

impl std::fmt::Debug for Closures<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Closures").finish_non_exhaustive()
    }
}

impl Closures<'_> {
    /// Whether firings are wanted, and not only aggregations.
    pub(crate) fn want_firings(&self) -> bool {
        self.out.is_some() || self.chew.is_some() || self.chewrec.is_some() || self.rows.is_some()
    }

    /// Whether libdtrace's formatting is wanted.
    pub(crate) fn want_text(&self) -> bool {
        self.out.is_some()
    }
}

/// What a frame means for whoever reads the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Go on reading.
    Continue,
    /// Tracing is on.
    Started,
    /// The worker has done as [`Command::CatchUp`](crate::stream::job::Command::CatchUp) said.
    CaughtUp,
    /// The worker cannot go on.
    Failed(FailureFrame),
    /// Everything has been delivered.
    End,
}

/// What to do about lost data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LossPolicy {
    /// Count them in the outcome.
    Count,
    /// Count them, and warn through the `tracing` crate.
    #[default]
    Warn,
    /// End the session with [`Error::Lost`] at the first loss.
    Fail,
}

struct ClauseLayout {
    statement: u32,
    fields: Vec<Field>,
}

/// Keeps what the stream describes, and calls the closures.
pub(crate) struct Dispatcher<'f> {
    pub(crate) closures: Closures<'f>,
    pub(crate) outcome: Outcome,
    losses: LossPolicy,
    /// Whether to run the commands of `system()`; never when a recording is replayed.
    pub(crate) run_system: bool,
    probes: HashMap<u32, Probe>,
    clauses: HashMap<u32, ClauseLayout>,
    aggregations: HashMap<u32, Aggregation>,
    symbols: Symbols,
    walks: Walks,
    join: Join,
    /// The entries of the `printa()` of the firing that comes next.
    printed: Vec<Printed>,
    printing: bool,
    /// What those take, in bytes.
    printed_size: usize,
    kept: Kept,
}

impl<'f> Dispatcher<'f> {
    pub(crate) fn new(closures: Closures<'f>, losses: LossPolicy, mode: Mode) -> Dispatcher<'f> {
        Dispatcher {
            join: Join::new(closures.joined_names.clone()),
            printed: Vec::new(),
            printing: false,
            printed_size: 0,
            kept: Kept::up_to(usize::MAX),
            closures,
            outcome: Outcome::default(),
            losses,
            run_system: false,
            probes: HashMap::new(),
            clauses: HashMap::new(),
            aggregations: HashMap::new(),
            symbols: Symbols::new(),
            walks: Walks::new(mode),
        }
    }

    /// Keeps no more than about so many bytes of what the stream says.
    pub(crate) fn with_memory_limit(mut self, bytes: usize) -> Dispatcher<'f> {
        self.kept = Kept::up_to(bytes);
        self
    }

    /// Forgets a worker that could not begin; the next one describes everything anew.
    pub(crate) fn restart(&mut self) {
        self.outcome = Outcome { timings: self.outcome.timings, ..Outcome::default() };
        self.probes.clear();
        self.clauses.clear();
        self.aggregations.clear();
        self.symbols.clear();
        self.forget_printed();
        self.printing = false;
        self.kept.restart();
    }

    fn forget_printed(&mut self) {
        self.printed.clear();
        self.printed_size = 0;
    }

    /// Takes one frame. `position` is where it lies in the stream, for errors.
    pub(crate) fn take(&mut self, frame: Frame<'_>, position: u64) -> Result<Step, Error> {
        let malformed = |cause| Error::Stream { position, cause };
        let entries = [self.walks.kept(), self.join.kept(), self.printed_size];
        let entries = entries.iter().fold(0, |sum: usize, n| sum.saturating_add(*n));
        self.kept.note(&frame, entries).map_err(malformed)?;
        match frame {
            Frame::Firing(frame) => self.firing(frame, position)?,
            Frame::PrintaBegin => self.printing = true,
            Frame::Entry(frame) if self.printing => {
                self.printed_size += PLACE + frame.keys.len() + frame.value.len();
                self.printed.push(Printed::new(&frame));
            }
            Frame::Entry(frame) => {
                let aggregation = self
                    .aggregations
                    .get(&frame.aggregation)
                    .ok_or_else(|| malformed(Malformed::new("aggregation", "not described")))?;
                let entry = self.walks.entry(aggregation, frame, &self.symbols).map_err(|_| {
                    malformed(Malformed::new("aggregation value", "not one of its function"))
                })?;
                if let (Some(entry), Some(walk)) = (&entry, &mut self.closures.walk) {
                    call("walk", || walk(entry))?;
                }
                if let Some(entry) = &entry {
                    self.join.add(entry);
                }
            }
            Frame::SnapshotEnd if self.printing => self.printing = false,
            Frame::SnapshotEnd => {
                if let Some(joined) = &mut self.closures.joined {
                    self.join.finish(&self.aggregations, &self.symbols, |row| {
                        call("walk_joined", || joined(row))
                    })?;
                }
                if let Some(walked) = &mut self.closures.walked {
                    call("walked", walked)?;
                }
            }
            Frame::Begin(info) => self.outcome.session = Some(info),
            Frame::Program(info) => self.outcome.programs.push(info),
            Frame::Started(times) => {
                let t = &mut self.outcome.timings;
                t.open = Duration::from_nanos(times.open);
                t.compile = Duration::from_nanos(times.compile);
                t.enable = Duration::from_nanos(times.enable);
                t.go = Duration::from_nanos(times.go);
                if let Some(on_start) = &mut self.closures.on_start {
                    call("on_start", || on_start(&self.outcome))?;
                }
                return Ok(Step::Started);
            }
            Frame::Probe(probe) => {
                self.probes.insert(probe.id, probe);
            }
            Frame::Clause(c) => {
                kept::apart(&c.records).map_err(malformed)?;
                let fields = layout::of_clause(c.records);
                self.clauses.insert(c.key, ClauseLayout { statement: c.statement, fields });
            }
            Frame::Aggregation(frame) => {
                kept::apart(&frame.keys).map_err(malformed)?;
                let key = frame.key;
                let aggregation = Aggregation::new(frame, self.encoding()).map_err(malformed)?;
                self.aggregations.insert(key, aggregation);
            }
            Frame::Symbol(s) => {
                self.symbols.insert((s.pid, s.address), s.text);
            }
            Frame::Drop(report) => {
                if self.outcome.losses.count_drop(&report) {
                    self.kept.add_probe(None);
                }
                if self.losses == LossPolicy::Warn {
                    tracing::warn!(kind = %report.kind, drops = report.drops, "{}", report.message);
                }
                if let Some(on_drop) = &mut self.closures.on_drop {
                    call("on_drop", || on_drop(report))?;
                }
                self.check_losses()?;
            }
            Frame::Fault(fault) => {
                if self.outcome.losses.count_fault(&fault) {
                    self.kept.add_probe(fault.probe.as_ref());
                }
                if self.losses == LossPolicy::Warn {
                    tracing::warn!(kind = %fault.kind, "{}", fault.message);
                }
                if let Some(on_fault) = &mut self.closures.on_fault {
                    call("on_fault", || on_fault(fault))?;
                }
                self.check_losses()?;
            }
            Frame::OptionChange(change) => {
                if let Some(on_option) = &mut self.closures.on_option {
                    call("on_option", || on_option(&change))?;
                }
                self.outcome.options.push(change);
            }
            Frame::Process(event) => {
                if let Some(on_process) = &mut self.closures.on_process {
                    call("on_process", || on_process(&event))?;
                }
                self.outcome.processes.push(event);
            }
            Frame::Exit(status) => self.outcome.exit = Some(status),
            Frame::CommandEnd(end) => self.outcome.command = Some(end),
            Frame::Failure(failure) => return Ok(Step::Failed(failure)),
            Frame::End => return Ok(Step::End),
            Frame::CaughtUp => return Ok(Step::CaughtUp),
            Frame::Options(options) => self.outcome.initial_options = options,
            Frame::Report(text) => {
                if let Some(report) = &mut self.closures.report {
                    call("report", || report(text))?;
                }
            }
            Frame::SnapshotBegin | Frame::Listed(_) => {}
            Frame::Found(_) | Frame::FoundType(_) => {}
        }
        Ok(Step::Continue)
    }

    /// How the stream's platform lays out the parameters of distributions.
    fn encoding(&self) -> ParameterEncoding {
        match self.outcome.session.as_ref().map(|session| session.platform) {
            Some(Platform::FreeBsd | Platform::MacOs | Platform::Illumos) => ParameterEncoding::Sun,
            Some(Platform::Linux) | None => ParameterEncoding::Linux,
        }
    }

    fn check_losses(&self) -> Result<(), Error> {
        match self.losses {
            LossPolicy::Fail => Err(Error::Lost(self.outcome.losses.clone())),
            LossPolicy::Count | LossPolicy::Warn => Ok(()),
        }
    }

    fn firing(&mut self, frame: FiringFrame<'_>, position: u64) -> Result<(), Error> {
        let (Some(probe), Some(clause)) =
            (self.probes.get(&frame.probe), self.clauses.get(&frame.clause))
        else {
            let cause = Malformed::new("firing", "its probe or clause is not described");
            return Err(Error::Stream { position, cause });
        };
        self.outcome.firings += 1;
        let firing = Firing {
            frame,
            probe,
            statement: clause.statement,
            fields: &clause.fields,
            symbols: &self.symbols,
            printed: &self.printed,
            aggregations: &self.aggregations,
        };
        if let Some(chew) = &mut self.closures.chew {
            call("chew", || chew(&firing))?;
        }
        if let Some(chewrec) = &mut self.closures.chewrec {
            for record in firing.records() {
                call("chewrec", || chewrec(&record))?;
            }
        }
        if let Some(rows) = &mut self.closures.rows {
            let mut row_error = None;
            call("rows", || match rows(&firing) {
                Ok(()) => Ok(()),
                Err(RowsError::Callback(cause)) => Err(cause),
                Err(RowsError::Row(error)) => {
                    row_error = Some(error);
                    Ok(())
                }
            })?;
            if let Some(cause) = row_error {
                return Err(Error::Row { probe: probe.to_string(), cause });
            }
        }
        for output in firing.output() {
            if output.action() == Some(Action::System) && self.run_system {
                run_system(output.bytes());
            } else if let Some(out) = &mut self.closures.out {
                call("out", || out(&output))?;
            }
        }
        self.forget_printed();
        Ok(())
    }
}

/// Runs a command of `system()` as libdtrace would; like there, its exit status means nothing.
fn run_system(command: &[u8]) {
    let command = std::ffi::OsStr::from_bytes(command);
    if let Err(e) = std::process::Command::new("/bin/sh").arg("-c").arg(command).status() {
        tracing::warn!("system(): {e}");
    }
}

/// Calls a closure; an error or a panic becomes the session's error.
fn call(closure: &'static str, f: impl FnOnce() -> CallbackResult) -> Result<(), Error> {
    // After a panic the closure is never called again, so nobody sees what it left half-done.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(Error::Callback { closure, cause }),
        Err(payload) => Err(Error::Panicked { closure, message: panic_message(&*payload) }),
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
