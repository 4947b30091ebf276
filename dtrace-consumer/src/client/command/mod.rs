//! Starts, holds, releases and waits for a traced command.

pub(super) mod created;
#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "linux")]
mod linux;
pub(super) mod output;
pub(super) mod place;
pub(super) mod problem;
#[expect(unsafe_code, reason = "it runs code between fork and exec")]
mod start_held;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod stops;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
mod unsupported;

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, never, select};
use nix::sys::signal::Signal;

#[cfg(target_os = "freebsd")]
use self::freebsd as system;
#[cfg(target_os = "linux")]
use self::linux as system;
use self::output::{Chunk, Output, Pipes, Wanted};
use self::place::Place;
use self::start_held::spawn_held;
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
use self::unsupported as system;
use super::child::{DYING, Signals};
use super::requests::CatchUp;
use super::statuses::loses_statuses;
use crate::data::outcome::CommandOutcome;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::stream::job::{Gate, Target};
use crate::stream::unnamed::unnamed_file;

pub(super) use problem::none_given;
pub(super) use start_held::prepare;

/// How long a command has to end after SIGTERM.
const TERMINATING: Duration = Duration::from_secs(2);

/// A held command. It is killed unless it is released.
#[derive(Default)]
pub(super) struct Held {
    process: Option<(Child, Signals)>,
    pub(super) gate: Option<Gate>,
    pipes: Pipes,
}

impl Held {
    /// Starts a command and holds it. An abort kills it before it gets that far.
    pub(super) fn spawn(
        command: &mut Command,
        place: Place,
        ending: &Ending,
    ) -> Result<Held, Error> {
        let standard = occupy_standard();
        let held = spawn_held(command, place, |signals| {
            let signals = signals.clone();
            ending.attach(move |reason| {
                if reason.is_abort() {
                    signals.send(Signal::SIGKILL);
                }
            });
        });
        ending.detach();
        drop(standard);
        let (mut child, signals, gate) = held.map_err(|cause| failed(command, cause))?;
        let pipes = Pipes::of(&mut child);
        Ok(Held { process: Some((child, signals)), gate, pipes })
    }

    /// Returns whether there is no command.
    pub(super) fn is_gone(&self) -> bool {
        self.process.is_none()
    }

    /// Returns the description of the process for the worker.
    pub(super) fn target(&self) -> Target {
        let pid = self.process.as_ref().map_or(0, |(child, _)| child.id().cast_signed());
        Target { pid, gate: self.gate.clone() }
    }

    /// Fails if nobody would read what the command writes.
    pub(super) fn require_no_pipes(&self, command: &Command) -> Result<(), Error> {
        if self.pipes.are_none() {
            return Ok(());
        }
        let reason = "its output is set to a pipe that nobody would read (let it inherit a \
                      stream, or use `command` with `capture_output`)";
        Err(failed(command, io::Error::new(io::ErrorKind::InvalidInput, reason)))
    }

    /// Starts to read the command's output, if it goes to pipes of this process.
    pub(super) fn read_output(&mut self, wanted: Wanted) -> Result<Option<Output>, Error> {
        let pipes = std::mem::take(&mut self.pipes);
        if pipes.are_none() { Ok(None) } else { Output::start(pipes, wanted).map(Some) }
    }

    /// Releases the command, and calls `at_end` at its end. If the session wants its symbols, it stops at its
    /// end until they have been looked up.
    pub(super) fn release(
        mut self,
        catch_up: Option<CatchUp>,
        at_end: impl FnOnce() + Send + 'static,
    ) -> Result<Waiting, Error> {
        let system = |attempt| move |cause| Error::System { attempt, cause };
        let Some((mut child, signals)) = self.process.take() else {
            return Err(system("release the command")(io::ErrorKind::NotFound.into()));
        };
        // A process that libdtrace traces cannot have a second tracer.
        let catch_up = catch_up.filter(|_| self.gate.is_none());
        // A tracer learns how the command ends even if the kernel does not keep its status.
        let traced = catch_up.is_some() || (self.gate.is_none() && loses_statuses());
        let released = if traced {
            system::leave_stopped(&child)
        } else {
            system::release(&child, &signals, self.gate.is_some())
        };
        if let Err(e) = released {
            signals.kill_and_reap(child.id());
            return Err(system("continue the command")(e));
        }
        let began = Instant::now();
        let (waiting, id) = (signals.clone(), child.id());
        let (tell, ended) = crossbeam_channel::bounded(1);
        let lost = Arc::<AtomicBool>::default();
        let lose = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("dtrace-command".to_owned())
            .spawn(move || {
                let status = if traced {
                    let at_exit = || catch_up.into_iter().for_each(CatchUp::wait);
                    system::run_to_exit(&child, &waiting, at_exit)
                } else {
                    waiting.wait(&mut child)
                };
                let ran = began.elapsed();
                if status.is_err() {
                    lose.store(true, Ordering::Release);
                }
                let _ = tell.send(status.ok().map(|status| CommandOutcome { status, ran }));
                at_end();
            })
            .map_err(|e| {
                signals.kill_and_reap(id);
                system("start a thread")(e)
            })?;
        Ok(Waiting { signals, ended, lost })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((child, signals)) = &self.process {
            signals.kill_and_reap(child.id());
        }
    }
}

/// Occupies the numbers of standard input, output and error as long as the result is kept, if they are free. The
/// pipes that a start makes would get them: their ends in the child would be closed at the exec, and what this
/// program prints would go to their other ends.
fn occupy_standard() -> Vec<File> {
    let occupy = || unnamed_file().ok().filter(|file| file.as_raw_fd() <= libc::STDERR_FILENO);
    std::iter::from_fn(occupy).collect()
}

/// Returns the error for a command that did not start.
fn failed(command: &Command, cause: io::Error) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    let cause = problem::explained(cause, command);
    Error::Command { program, cause }
}

/// A running command, and the thread that waits for it.
pub(super) struct Waiting {
    signals: Signals,
    ended: Receiver<Option<CommandOutcome>>,
    lost: Arc<AtomicBool>,
}

impl Waiting {
    /// Returns a flag that becomes true if the command has ended with an unknown status.
    pub(super) fn lost_status(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lost)
    }

    /// Returns whether the command still runs.
    pub(super) fn is_running(&self) -> bool {
        self.ended.is_empty()
    }

    /// Waits for the command's end, and calls `take` with what it writes meanwhile. If the session is asked to
    /// end, asks the command to end and then kills it; if it is aborted, kills it at once. Returns `None` if it
    /// does not end even then.
    pub(super) fn wait(
        self,
        ending: &Ending,
        mut chunks: Receiver<Chunk>,
        mut take: impl FnMut(&Chunk),
    ) -> Option<CommandOutcome> {
        let ended = &self.ended;
        let mut await_end = |asked: Receiver<Infallible>, limit: Option<Duration>| {
            let late = limit.map_or_else(never, after);
            loop {
                select! {
                    recv(ended) -> end => return Some(end.ok().flatten()),
                    recv(asked) -> _ => return ended.try_recv().ok(),
                    recv(late) -> _ => return None,
                    recv(chunks) -> chunk => match chunk {
                        Ok(chunk) => take(&chunk),
                        // The command and everything that it has started have closed the streams.
                        Err(_) => chunks = never(),
                    },
                }
            }
        };
        if let Some(end) = await_end(ending.stopped(), None) {
            return end;
        }
        if !ending.is_aborted() {
            self.signals.send(Signal::SIGTERM);
            // A stopped process does not see it before it continues.
            self.signals.send(Signal::SIGCONT);
            if let Some(end) = await_end(ending.aborted(), Some(TERMINATING)) {
                return end;
            }
        }
        self.signals.send(Signal::SIGKILL);
        await_end(never(), Some(DYING)).flatten()
    }

    /// Returns how a command ended whose end is known to be there, or kills it.
    pub(super) fn reap(self) -> Option<CommandOutcome> {
        match self.ended.recv_timeout(DYING) {
            Ok(end) => end,
            Err(_) => self.kill(),
        }
    }

    /// Kills the command unless it has ended. Returns `None` if it does not end even then.
    pub(super) fn kill(self) -> Option<CommandOutcome> {
        if let Ok(end) = self.ended.try_recv() {
            return end;
        }
        self.signals.send(Signal::SIGKILL);
        self.ended.recv_timeout(DYING).ok().flatten()
    }
}
