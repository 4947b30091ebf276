//! Runs a session from start to end, with its command if it has one.

use std::process::Command;
use std::sync::Arc;

use super::command::place::where_to_hold;
use super::command::{self, Held};
use super::session;
use super::settings::Settings;
use crate::data::outcome::Outcome;
use crate::decode::consumer::Consumer;
use crate::decode::speak;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::job::Target;

/// Runs a session. Calls `started` when tracing is on.
pub(crate) fn run<'c>(
    settings: &Settings,
    command: Option<Command>,
    consumer: impl Consumer + 'c,
    ending: &Arc<Ending>,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    match command {
        Some(command) => run_command(settings, command, consumer, ending, started),
        None => {
            let mut live = session::start(settings, consumer, ending, || Ok(None))?;
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
    ending: &Arc<Ending>,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    if command.get_program().is_empty() {
        let error = Error::Command { program: String::new(), cause: command::none_given() };
        return Err(error.into());
    }
    // A word in a comment is enough. The command then stops at its end needlessly.
    let user_symbols = ["ustack", "jstack", "usym", "umod", "uaddr", "ufunc"];
    let wants_symbols = settings.scripts.iter().any(|it| it.mentions(&user_symbols));
    let at = where_to_hold(&settings.scripts);
    command::prepare(&mut command);
    let mut held = Held::default();
    let mut live = session::start(settings, consumer, ending, || {
        // A worker that failed may have left breakpoints in a command that it had attached to.
        if held.is_gone() || held.gate.is_some() {
            held = Held::default();
            held = Held::spawn(&mut command, at, ending)?;
        }
        Ok(Some(Target { pid: held.pid(), gate: held.gate.clone() }))
    })?;
    // The command holds its ends of pipes open, and a handler may wait for those to close.
    drop(command);
    started();
    let catch_up = wants_symbols.then(|| live.catch_up());
    match held.release(Arc::clone(ending), catch_up) {
        Ok(waiting) => {
            let delivered = live.deliver();
            if let Err(error) = &delivered
                && !ending.is_asked()
                && waiting.is_running()
            {
                speak::warn(&format!("{error}\ntracing has ended; the command keeps running"));
            }
            let ended = waiting.wait(ending);
            live.finish(delivered, ended)
        }
        Err(error) => live.finish(Err(error), None),
    }
}
