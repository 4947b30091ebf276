//! Starts, holds, releases and waits for a traced command.

#[cfg(target_os = "linux")]
mod linux;
pub(super) mod place;
mod problem;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use std::io;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use nix::sys::signal::Signal;

#[cfg(target_os = "linux")]
use self::linux as system;
use self::place::Hold;
#[cfg(not(target_os = "linux"))]
use self::unsupported as system;
use super::child::Signals;
use super::requests::CatchUp;
use crate::data::outcome::CommandOutcome;
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::stream::job::Gate;

pub(super) use problem::{none_given, problem};
pub(super) use system::prepare;

/// How long a command has to end after SIGTERM.
const TERMINATING: Duration = Duration::from_secs(2);

/// How long to wait for a command that was killed. One that waits for a device may take for ever.
const DYING: Duration = Duration::from_secs(2);

/// A held command. It is killed unless it is released.
#[derive(Default)]
pub(super) struct Held {
    child: Option<Child>,
    pub(super) gate: Option<Gate>,
}

impl Held {
    /// Starts a command and holds it. An abort kills it before it gets that far.
    pub(super) fn spawn(command: &mut Command, at: Hold, ending: &Ending) -> Result<Held, Error> {
        let held = system::spawn_held(command, at, |child| {
            let signals = Signals::to(child);
            ending.attach(move |reason| {
                if reason.is_abort() {
                    signals.send(Signal::SIGKILL);
                }
            });
        });
        ending.detach();
        let (child, gate) = held.map_err(|cause| {
            let program = command.get_program().to_string_lossy().into_owned();
            let cause = problem::explained(cause, &program, command.get_current_dir());
            Error::Command { program, cause }
        })?;
        Ok(Held { child: Some(child), gate })
    }

    /// Returns whether there is no command.
    pub(super) fn is_gone(&self) -> bool {
        self.child.is_none()
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.id().cast_signed())
    }

    /// Releases the command; its end stops the session. If the session wants its symbols, it stops at its end
    /// until they have been looked up.
    pub(super) fn release(
        mut self,
        ending: Arc<Ending>,
        catch_up: Option<CatchUp>,
    ) -> Result<Waiting, Error> {
        let system = |attempt| move |cause| Error::System { attempt, cause };
        let Some(mut child) = self.child.take() else {
            return Err(system("release the command")(io::ErrorKind::NotFound.into()));
        };
        // A process that libdtrace traces cannot have a second tracer.
        let catch_up = catch_up.filter(|_| self.gate.is_none());
        let released = match &catch_up {
            Some(_) => system::leave_stopped(&child),
            None => system::release(&child, self.gate.is_some()),
        };
        if let Err(e) = released {
            kill(&mut child);
            return Err(system("continue the command")(e));
        }
        let began = Instant::now();
        let signals = Signals::to(&child);
        let waiting = signals.clone();
        let (tell, ended) = crossbeam_channel::bounded(1);
        std::thread::Builder::new()
            .name("dtrace-command".to_owned())
            .spawn(move || {
                let status = match catch_up {
                    Some(catch_up) => system::run_to_exit(&child, &waiting, || catch_up.wait()),
                    None => waiting.wait(&mut child),
                };
                let ran = began.elapsed();
                let _ = tell.send(status.ok().map(|status| CommandOutcome { status, ran }));
                ending.ask(Reason::Command);
            })
            .map_err(system("start a thread"))?;
        Ok(Waiting { signals, ended })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A running command, and the thread that waits for it.
pub(super) struct Waiting {
    signals: Signals,
    ended: Receiver<Option<CommandOutcome>>,
}

impl Waiting {
    /// Returns whether the command still runs.
    pub(super) fn is_running(&self) -> bool {
        self.ended.is_empty()
    }

    /// Waits for the command's end. If the session is asked to end, asks the command to end and then kills it;
    /// if it is aborted, kills it at once. Returns `None` if it does not end even then.
    pub(super) fn wait(self, ending: &Ending) -> Option<CommandOutcome> {
        select! {
            recv(self.ended) -> end => return end.ok().flatten(),
            recv(ending.stopped()) -> _ => {}
        }
        if let Ok(end) = self.ended.try_recv() {
            return end;
        }
        if !ending.is_aborted() {
            self.signals.send(Signal::SIGTERM);
            // A stopped process does not see it before it continues.
            self.signals.send(Signal::SIGCONT);
            select! {
                recv(self.ended) -> end => return end.ok().flatten(),
                recv(ending.aborted()) -> _ => {}
                default(TERMINATING) => {}
            }
        }
        self.signals.send(Signal::SIGKILL);
        self.ended.recv_timeout(DYING).ok().flatten()
    }
}
