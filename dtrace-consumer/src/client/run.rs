//! Runs a session from start to end, with its command if it has one.

use std::process::Command;

use super::command::place::where_to_hold;
use super::command::{self, Held, Waiting};
use super::session::{self, Live};
use super::settings::Settings;
use crate::data::outcome::Outcome;
use crate::decode::consumer::Consumer;
use crate::decode::stop::StopHandle;
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::job::Target;

/// Runs a session. Calls `started` when tracing is on.
pub(crate) fn run<'c>(
    settings: &Settings,
    command: Option<Command>,
    consumer: impl Consumer + 'c,
    stop: StopHandle,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    match command {
        Some(command) => run_command(settings, command, consumer, stop, started),
        None => {
            let mut live = session::start(settings, consumer, &stop, || Ok(None))?;
            started();
            let delivered = live.deliver();
            live.finish(delivered, None)
        }
    }
}

fn run_command<'c>(
    settings: &Settings,
    mut command: Command,
    consumer: impl Consumer + 'c,
    stop: StopHandle,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    // A word in a comment is enough. The command then stops at its end needlessly.
    let user_symbols = ["ustack", "jstack", "usym", "umod", "uaddr", "ufunc"];
    let wants_symbols = settings.scripts.iter().any(|it| it.mentions(&user_symbols));
    let at = where_to_hold(&settings.scripts);
    command::prepare(&mut command, at);
    let mut held = Held::default();
    let mut live = session::start(settings, consumer, &stop, || {
        // A worker that failed may have left breakpoints in a command that it had attached to.
        if held.is_gone() || held.gate.is_some() {
            held = Held::default();
            held = Held::spawn(&mut command, at)?;
        }
        Ok(Some(Target { pid: held.pid(), gate: held.gate.clone() }))
    })?;
    // The command holds its ends of pipes open, and a handler may wait for those to close.
    drop(command);
    started();
    let catch_up = wants_symbols.then(|| live.catch_up());
    match held.release(stop, catch_up) {
        Ok(waiting) => {
            let delivered = live.deliver();
            finish(live, delivered, waiting)
        }
        Err(error) => live.finish(Err(error), None),
    }
}

/// Waits for the command, and combines the results of the session and the command.
fn finish(
    live: Live<'_>,
    delivered: Result<(), Error>,
    waiting: Waiting,
) -> Result<Outcome, Failure> {
    let ended = match &delivered {
        // If the script called exit() while the command still runs, wait for the command: it does no harm.
        Ok(()) => waiting.wait(),
        Err(_) => waiting.kill(),
    };
    live.finish(delivered, ended)
}
