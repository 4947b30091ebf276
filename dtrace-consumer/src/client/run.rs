//! Runs a session from start to end, with its command and the processes that it creates.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::command::output::Output;
use super::command::place::{Hold, Place, where_to_hold};
use super::command::{self, Held, Waiting};
use super::session::{self, Live};
use super::settings::Settings;
use super::system::explained_by_limit;
use crate::data::outcome::{EndedBy, Outcome};
use crate::data::script::{Script, words_of};
use crate::data::warning::{Warning, WarningKind};
use crate::decode::consumer::Consumer;
use crate::decode::speak;
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::compile_flags::PREPROCESS;
use crate::stream::job::{Job, Process};

pub(crate) use super::command::output::Wanted;

/// A command to trace.
#[derive(Debug)]
pub struct Traced {
    pub(crate) command: Command,
    pub(crate) output: Wanted,
}

impl Traced {
    /// Returns the program and its arguments.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }
}

/// Why the exit status of a command is unknown, and what to do.
const UNKNOWN_STATUS: &str = "its exit status is unknown: this program ignores SIGCHLD, or \
                              another of its threads waits for all children (wait only \
                              for your own children; Linux 6.15 and later report the status \
                              anyway)";

/// Runs a session. Calls `started` when tracing is on.
pub(crate) fn run<'c>(
    settings: &Settings,
    mut traced: Option<Traced>,
    consumer: impl Consumer + 'c,
    ending: &Arc<Ending>,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    if let Some(Traced { command, output }) = &mut traced {
        if command.get_program().is_empty() {
            let error = Error::Command { program: String::new(), cause: command::none_given() };
            return Err(error.into());
        }
        output.prepare(command);
        command::prepare(command);
    }
    let mut processes = Processes::default();
    let mut live = session::start(settings, consumer, ending, |job, needed| {
        processes.hold(settings, traced.as_mut(), needed, ending)?;
        processes.describe(settings, job);
        Ok(())
    })?;
    // Commands hold their ends of pipes open, and a handler may wait for those to close.
    let output = traced.map(|traced| traced.output).unwrap_or_default();
    settings.created.forget();
    started();
    match processes.release(settings, output, &mut live, ending) {
        Ok(running) => running.trace(live, ending),
        Err(error) => live.finish(Err(explained_by_limit(error)), None),
    }
}

/// The processes of a session while they are held.
#[derive(Default)]
struct Processes {
    command: Option<Held>,
    created: Vec<Held>,
    /// Where the probes of the scripts need the target to be held, as far as it was known at its start.
    needed: Hold,
}

impl Processes {
    /// Starts and holds the processes, unless they are held already. The target is held at `needed` or later.
    fn hold(
        &mut self,
        settings: &Settings,
        traced: Option<&mut Traced>,
        needed: Hold,
        ending: &Ending,
    ) -> Result<(), Error> {
        let mut held = self.command.iter().chain(&self.created).peekable();
        // A worker that failed may have left breakpoints in a process that it had attached to.
        let is_started = needed <= self.needed && held.peek().is_some();
        if is_started && held.all(|it| !it.is_gone() && it.gate.is_none()) {
            return Ok(());
        }
        let preprocessed = settings.compile_flags & PREPROCESS != 0;
        let at = where_to_hold(&settings.scripts, preprocessed).max(needed);
        *self = Processes { needed: at, ..Processes::default() };
        let target = traced.is_none().then_some(at);
        if let Some(Traced { command, .. }) = traced {
            self.command = Some(Held::spawn(command, Place::of_target(at), ending)?);
        }
        self.created = settings.created.start(&settings.options, target, ending)?;
        Ok(())
    }

    /// Names the processes in the worker's job.
    fn describe(&self, settings: &Settings, job: &mut Job) {
        job.target = self.command.as_ref().map(Held::target);
        let created = self.created.iter().map(|held| Process::Created(held.target()));
        job.processes =
            created.chain(settings.grabbed.iter().copied().map(Process::Grab)).collect();
    }

    /// Releases the processes when tracing is on.
    fn release(
        self,
        settings: &Settings,
        wanted: Wanted,
        live: &mut Live<'_>,
        ending: &Arc<Ending>,
    ) -> Result<Running, Error> {
        let wants_symbols = wants_symbols(settings);
        let catch_up = || wants_symbols.then(|| live.catch_up());
        // The worker notices the end of those that libdtrace is attached to, but looks for the end of others
        // only from time to time.
        let is_last = self.command.is_none()
            && settings.grabbed.is_empty()
            && self.created.iter().all(|held| held.gate.is_none());
        let left = Arc::new(AtomicUsize::new(self.created.len()));
        let mut running = Running { command: None, created: Vec::new() };
        for held in self.created {
            let (left, ending) = (Arc::clone(&left), Arc::clone(ending));
            running.created.push(held.release(catch_up(), move || {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 && is_last {
                    ending.ask(Reason::Command);
                }
            })?);
        }
        let mut output: Option<Output> = None;
        if let Some(mut held) = self.command {
            output = held.read_output(wanted)?;
            let ending = Arc::clone(ending);
            running.command = Some(held.release(catch_up(), move || ending.ask(Reason::Command))?);
        }
        if let Some(output) = output {
            live.read_output(output);
        }
        Ok(running)
    }
}

/// The processes of a session while they run.
struct Running {
    command: Option<Waiting>,
    /// They are killed on drop.
    created: Vec<Waiting>,
}

impl Running {
    /// Delivers everything, and waits for the command.
    fn trace(mut self, mut live: Live<'_>, ending: &Ending) -> Result<Outcome, Failure> {
        let mut delivered = live.deliver();
        let mut ended = None;
        let first = self.command.as_ref().or(self.created.first());
        let lost = first.map(Waiting::lost_status).unwrap_or_default();
        if let Some(command) = self.command.take() {
            if let Err(error) = &delivered
                && !ending.is_asked()
                && command.is_running()
            {
                speak::warn(&format!("{error}\ntracing has ended; the command keeps running"));
            }
            ended = live.wait(command, &mut delivered);
        } else if !self.created.is_empty() {
            let first = self.created.remove(0);
            if delivered.is_ok() && live.ended_by_itself() {
                // It ended with the last of them, which may be known here a moment later.
                delivered = Ok(EndedBy::Command);
                ended = first.reap();
            } else {
                ended = first.kill();
            }
        }
        drop(self);
        if lost.load(Ordering::Acquire) {
            live.warn(Warning::new(WarningKind::UnknownStatus, "command", UNKNOWN_STATUS));
        }
        live.finish(delivered, ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.created.drain(..).for_each(|created| {
            created.kill();
        });
    }
}

/// Returns whether the scripts may record functions of processes. A word in a comment is enough: the command then
/// stops at its end needlessly. So is a part of a script that only the preprocessor knows.
fn wants_symbols(settings: &Settings) -> bool {
    const ACTIONS: [&str; 6] = ["ustack", "jstack", "usym", "umod", "uaddr", "ufunc"];
    let preprocessed = settings.compile_flags & PREPROCESS != 0;
    let is_hidden = |script: &Script| {
        script.mentions(&["include"]) || script.text.windows(2).any(|it| it == b"##")
    };
    let is_defined = |(name, value): &(String, Option<String>)| {
        let value = value.as_deref().unwrap_or_default();
        name == "define" && words_of(value).any(|word| ACTIONS.contains(&word))
    };
    let scripts = &settings.scripts;
    scripts.iter().any(|it| it.mentions(&ACTIONS))
        || preprocessed
            && (scripts.iter().any(is_hidden) || settings.options.iter().any(is_defined))
}
