//! A session on the user's side: how it starts, delivers and ends.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::never;
use dtrace_locate::locate::Libdtrace;

use super::advise::advised;
use super::command::Waiting;
use super::command::output::Output;
use super::command::place::{Hold, needed_by_message, needed_by_probe};
use super::connection::{Connection, duplicate};
use super::job::{check, job, known};
use super::launch::Killer;
use super::patience::WHILE_TRACING;
use super::preflight::library_to_load;
use super::recording::Tee;
use super::requests::{CatchUp, Requests};
use super::retry::{retry, widen};
use super::settings::Settings;
use super::system::explained_by_limit;
use crate::data::outcome::{CommandOutcome, EndedBy, Outcome};
use crate::data::sentences;
use crate::data::warning::Warning;
use crate::decode::consumer::Consumer;
use crate::decode::dispatcher::{Dispatcher, Step};
use crate::decode::speak;
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::error::explain::{explain, recordable};
use crate::error::failure::Failure;
use crate::stream::frame::Frame;
use crate::stream::job::{Command, Job, Process, Purpose, Target};
use crate::stream::payload::FailureFrame;

/// How long to wait for the orderly end of a worker whose session has failed.
const WINDING_DOWN: Duration = Duration::from_secs(5);

/// A session that is tracing.
pub(crate) struct Live<'c> {
    dispatcher: Dispatcher<'c>,
    connection: Connection<Tee>,
    line: Line,
    deadline: Option<Duration>,
    /// What commands wait for at their end.
    catch_up: CatchUp,
    /// What the command writes.
    output: Option<Output>,
}

/// Starts tracing. In each attempt, `hold` starts the processes that the job names, and holds them at the given
/// place or a later one.
pub(crate) fn start<'c>(
    settings: &Settings,
    consumer: impl Consumer + 'c,
    ending: &Arc<Ending>,
    hold: impl FnMut(&mut Job, Hold) -> Result<(), Error>,
) -> Result<Live<'c>, Failure> {
    let system = (!settings.keep_system).then_some(run_system as fn(&[u8]));
    let mut dispatcher = Dispatcher::new(consumer, &settings.delivery).with_system(system);
    let connected = connect(settings, &mut dispatcher, ending, hold).and_then(|connection| {
        let killer = connection.worker.killer()?;
        Ok((duplicate(&connection.worker)?, killer, connection))
    });
    match connected {
        Ok((channel, killer, connection)) => {
            let line = Line::new(channel, killer, ending);
            Ok(Live::new(dispatcher, connection, line, settings))
        }
        Err(error) => {
            ending.detach();
            // An error of the script or of an option has another cause than the abort.
            let is_effect =
                !matches!(error, Error::Compile(_) | Error::Option { .. } | Error::Script { .. });
            let abortion = ending.abortion(settings.delivery.deadline).filter(|_| is_effect);
            Err(dispatcher.fail(abortion.unwrap_or_else(|| explained_by_limit(error))))
        }
    }
}

/// Launches workers until one traces or fails for good.
fn connect(
    settings: &Settings,
    dispatcher: &mut Dispatcher<'_>,
    ending: &Ending,
    mut hold: impl FnMut(&mut Job, Hold) -> Result<(), Error>,
) -> Result<Connection<Tee>, Error> {
    let began = Instant::now();
    check(settings)?;
    let library = library_to_load(&settings.access)?;
    let mut job = job(settings, library.as_ref(), Purpose::Trace, dispatcher.wants())?;
    let mut attempts = 0;
    let mut held = Hold::Exec;
    loop {
        attempts += 1;
        hold(&mut job, held)?;
        match attempt(settings, library.as_ref(), &job, held, dispatcher, ending)? {
            Attempt::Unheld(needed) => held = needed,
            Attempt::Tracing(connection) => {
                let timings = &mut dispatcher.outcome.timings;
                timings.startup = began.elapsed();
                timings.attempts = attempts;
                return Ok(connection);
            }
            Attempt::Failed(failure) => {
                if !retry(&mut job, &failure) {
                    let error = explain(failure, known(&job, &dispatcher.outcome.programs));
                    // The search for advice may take as long as a start.
                    if ending.is_asked() {
                        return Err(error);
                    }
                    let command = target_of(&job).map(|it| it.pid);
                    return Err(advised(settings, command, error));
                }
            }
            Attempt::Died(error) => {
                if ending.is_aborted() || !widen(&mut job) {
                    return Err(error);
                }
            }
        }
        dispatcher.restart();
    }
}

enum Attempt {
    Tracing(Connection<Tee>),
    /// The command is held too early for the probes that the scripts have in it.
    Unheld(Hold),
    /// The worker has sent the reason.
    Failed(FailureFrame),
    /// It died without sending one: libdtrace aborts if a D library that it relies on is missing.
    Died(Error),
}

/// Runs a worker until it traces or fails. The command is held at `hold` or later.
fn attempt(
    settings: &Settings,
    library: Option<&Libdtrace>,
    job: &Job,
    hold: Hold,
    dispatcher: &mut Dispatcher<'_>,
    ending: &Ending,
) -> Result<Attempt, Error> {
    let through = |source| Tee::new(source, settings);
    let mut connection = Connection::open(settings, library, job, ending, through)?;
    // libdtrace has attached to a command at a gate, which is where the scripts seem to need it.
    let unheld = target_of(job).filter(|it| it.gate.is_none()).map(|it| it.pid);
    loop {
        let step = match connection.next() {
            Ok((frame, position)) => {
                let needed = unheld.and_then(|pid| needed(&frame, &dispatcher.outcome, pid));
                if let Some(needed) = needed.filter(|needed| *needed > hold) {
                    return Ok(Attempt::Unheld(needed));
                }
                dispatcher.take(frame, position)
            }
            Err(error) => Err(error),
        };
        let error = match step {
            Ok(Step::Continue | Step::CaughtUp) => continue,
            Ok(Step::Started) => return Ok(Attempt::Tracing(connection)),
            Ok(Step::Failed(mut failure)) => {
                let printed = connection.worker.last_lines();
                if let Some(reason) = sentences::verifier_reason(&failure.message, &printed) {
                    failure.message.push_str(&format!("; the kernel's verifier: {reason}"));
                }
                return Ok(Attempt::Failed(failure));
            }
            Ok(Step::End) => connection.worker.post_mortem(),
            Err(error) => error,
        };
        let error = ending.abortion(settings.delivery.deadline).unwrap_or(error);
        record_end(&mut connection, Some(&error), None);
        return match error {
            Error::WorkerDied { .. } => Ok(Attempt::Died(error)),
            error => Err(error),
        };
    }
}

/// Returns the process that is `$target`.
fn target_of(job: &Job) -> Option<&Target> {
    let created = job.processes.iter().find_map(|process| match process {
        Process::Created(held) => Some(held),
        Process::Grab(_) => None,
    });
    job.target.as_ref().or(created)
}

/// Returns where the command of this pid must be held, when libdtrace has compiled the scripts or has failed to.
fn needed(frame: &Frame<'_>, outcome: &Outcome, pid: i32) -> Option<Hold> {
    match frame {
        Frame::Failure(failure) => needed_by_message(&failure.message, pid),
        Frame::Started(_) => {
            let clauses = outcome.programs.iter().flat_map(|program| &program.clauses);
            clauses.filter_map(|clause| needed_by_probe(&clause.probe, pid)).max()
        }
        _ => None,
    }
}

/// Adds to a recording how its session and its command ended, as far as no worker has said.
fn record_end(
    connection: &mut Connection<Tee>,
    error: Option<&Error>,
    command: Option<CommandOutcome>,
) {
    // Whatever follows damage could not be read. A program that is no worker has begun no recording.
    if matches!(error, Some(Error::Stream { .. })) || connection.reader.position() == 0 {
        return;
    }
    let command = command.map(Frame::CommandEnd);
    let failure = error.and_then(recordable).map(Frame::SessionFailed);
    let frames: Vec<Frame<'_>> = command.into_iter().chain(failure).collect();
    connection.reader.source().add(&frames);
}

/// Runs a command of `system()` as libdtrace would, which ignores its exit status, too.
fn run_system(command: &[u8]) {
    let command = std::ffi::OsStr::from_bytes(command);
    if let Err(e) = std::process::Command::new("/bin/sh").arg("-c").arg(command).status() {
        speak::warn(&format!("cannot run a command of system(): {e}"));
    }
}

/// The way of requests to a running worker, until the session is over.
struct Line {
    ending: Arc<Ending>,
    requests: Requests,
}

impl Line {
    fn new(channel: UnixStream, killer: Killer, ending: &Arc<Ending>) -> Line {
        let requests = Requests::new(channel);
        let line = Line { ending: Arc::clone(ending), requests: requests.clone() };
        ending.attach(move |reason| match reason {
            Reason::Overdue | Reason::Abort => killer.kill(),
            Reason::Command | Reason::Deadline | Reason::Stop => {
                // It fails only if the worker is gone, and then the session has ended.
                requests.send(&Command::Stop);
            }
        });
        line
    }

    /// Closes it: the worker has ended, and nobody can write to it any more.
    fn cut(&self) {
        self.ending.detach();
        self.requests.close();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

impl<'c> Live<'c> {
    fn new(
        dispatcher: Dispatcher<'c>,
        mut connection: Connection<Tee>,
        line: Line,
        settings: &Settings,
    ) -> Live<'c> {
        let limit = settings.silence_limit.unwrap_or(WHILE_TRACING).max(WHILE_TRACING);
        connection.reader.source().source.tracing(limit, Arc::clone(&line.ending));
        let deadline = settings.delivery.deadline;
        let catch_up = CatchUp::new(line.requests.clone());
        Live { dispatcher, connection, line, deadline, catch_up, output: None }
    }

    /// Delivers everything until the session ends. Returns what ended it.
    pub(crate) fn deliver(&mut self) -> Result<EndedBy, Error> {
        let ending = Arc::clone(&self.line.ending);
        let result = self.deliver_frames();
        let abortion = result.as_ref().err().and_then(|_| ending.abortion(self.deadline));
        if result.is_err() && abortion.is_none() {
            self.wind_down();
        }
        self.line.cut();
        self.catch_up.done();
        if let Some((asked, _)) = ending.first() {
            self.dispatcher.outcome.timings.delivery = asked.elapsed();
        }
        if let Some(error) = abortion {
            return Err(error);
        }
        result?;
        self.connection.reader.source().check()?;
        Ok(self.ended_by())
    }

    fn deliver_frames(&mut self) -> Result<(), Error> {
        loop {
            // What has arrived before an abort is not wanted either.
            if self.line.ending.is_aborted() {
                return Err(Error::Aborted);
            }
            let dispatcher = &mut self.dispatcher;
            if let Some((payload, position)) = self.connection.reader.next_firing() {
                self.catch_up.while_handling(|| dispatcher.take_firing(payload, position))?;
                continue;
            }
            let Some((frame, position)) = self.connection.next_unless_woken()? else {
                self.deliver_output()?;
                continue;
            };
            match self.catch_up.while_handling(|| dispatcher.take(frame, position))? {
                Step::Continue | Step::Started => {}
                Step::CaughtUp => self.catch_up.caught_up(),
                Step::End => return Ok(()),
                // The worker goes on to deliver its data. The first failure is the cause.
                Step::Failed(failure) => return Err(self.dispatcher.explain(failure)),
            }
        }
    }

    /// Lets the worker of a session that failed end in good order, so that it releases the processes that it
    /// traces. What it still sends is only recorded.
    fn wind_down(&mut self) {
        if !self.line.requests.send(&Command::Stop) {
            return;
        }
        let began = Instant::now();
        self.connection.reader.source().source.hurry(WINDING_DOWN);
        while began.elapsed() < WINDING_DOWN {
            match self.connection.next() {
                Ok((Frame::End, _)) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Warns the user, and keeps the warning for the outcome.
    pub(crate) fn warn(&mut self, warning: Warning) {
        self.dispatcher.warn(warning);
    }

    /// Creates a request to wait for on another thread than the one that delivers.
    pub(crate) fn catch_up(&self) -> CatchUp {
        self.catch_up.clone()
    }

    /// Delivers what the command writes from here on.
    pub(crate) fn read_output(&mut self, mut output: Output) {
        if let Some(woken) = output.take_woken() {
            self.connection.reader.source().source.wake_by(woken);
        }
        self.output = Some(output);
    }

    /// Delivers the next piece of what the command has written.
    fn deliver_output(&mut self) -> Result<(), Error> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let Ok(chunk) = output.chunks().try_recv() else { return Ok(()) };
        let dispatcher = &mut self.dispatcher;
        self.catch_up.while_handling(|| {
            output.feed(&chunk, |stream, line| dispatcher.command_line(stream, line))
        })
    }

    /// Waits for the command's end, and delivers what it still writes, unless the session has failed. Adds a
    /// failure of that to `delivered`.
    pub(crate) fn wait(
        &mut self,
        command: Waiting,
        delivered: &mut Result<EndedBy, Error>,
    ) -> Option<CommandOutcome> {
        let ending = Arc::clone(&self.line.ending);
        let Some(mut output) = self.output.take() else {
            return command.wait(&ending, never(), |_| ());
        };
        let Live { dispatcher, .. } = self;
        let fail = |result: Result<(), Error>, delivered: &mut Result<EndedBy, Error>| {
            if let (Err(error), true) = (result, delivered.is_ok()) {
                *delivered = Err(error);
            }
        };
        let ended = command.wait(&ending, output.chunks(), |chunk| {
            if delivered.is_ok() {
                let fed = output.feed(chunk, |stream, line| dispatcher.command_line(stream, line));
                fail(fed, delivered);
            }
        });
        let is_wanted = delivered.is_ok();
        let (kept, rest) = output.finish(&ending, |stream, line| match is_wanted {
            true => dispatcher.command_line(stream, line),
            false => Ok(()),
        });
        fail(rest, delivered);
        dispatcher.outcome.output = kept;
        ended
    }

    /// Returns whether the session goes on: neither the script nor anybody else has ended it.
    pub(crate) fn ended_by_itself(&self) -> bool {
        let asked = self.line.ending.first().map(|(_, reason)| reason);
        matches!(asked, None | Some(Reason::Command)) && self.dispatcher.outcome.exit.is_none()
    }

    /// Returns what ended the session. A command that still runs may end later for another reason.
    fn ended_by(&self) -> EndedBy {
        match self.line.ending.first() {
            None => EndedBy::Script,
            // Such as `proc:::exit { exit(0); }`.
            Some((_, Reason::Command)) if self.dispatcher.outcome.exit.is_some() => EndedBy::Script,
            Some((_, Reason::Command)) => EndedBy::Command,
            Some((_, Reason::Deadline | Reason::Overdue)) => EndedBy::Deadline,
            Some((_, Reason::Stop | Reason::Abort)) => EndedBy::Stop,
        }
    }

    /// Combines the results of the session and its command. `delivered` is the result of the delivery.
    pub(crate) fn finish(
        mut self,
        delivered: Result<EndedBy, Error>,
        command: Option<CommandOutcome>,
    ) -> Result<Outcome, Failure> {
        if command.is_some() {
            self.dispatcher.outcome.command = command;
        }
        record_end(&mut self.connection, delivered.as_ref().err(), command);
        self.dispatcher.finish(delivered)
    }
}
