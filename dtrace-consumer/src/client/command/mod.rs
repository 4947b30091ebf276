//! Starts, holds, releases and waits for a traced command.

#[cfg(target_os = "linux")]
mod linux;
pub(super) mod place;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use std::io;
use std::process::{Child, Command};
use std::time::Instant;

#[cfg(target_os = "linux")]
use self::linux as system;
use self::place::Hold;
#[cfg(not(target_os = "linux"))]
use self::unsupported as system;
use super::requests::CatchUp;
use crate::data::outcome::CommandOutcome;
use crate::decode::stop::StopHandle;
use crate::error::Error;
use crate::stream::job::Gate;

pub(super) use system::prepare;

/// A held command. It is killed unless it is released.
#[derive(Default)]
pub(super) struct Held {
    child: Option<Child>,
    pub(super) gate: Option<Gate>,
}

impl Held {
    pub(super) fn spawn(command: &mut Command, at: Hold) -> Result<Held, Error> {
        let (child, gate) = system::spawn_held(command, at).map_err(|cause| {
            let program = command.get_program().to_string_lossy().into_owned();
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
        stop: StopHandle,
        catch_up: Option<CatchUp>,
    ) -> Result<Waiting, Error> {
        let system = |attempt| move |cause| Error::System { attempt, cause };
        let Some(mut child) = self.child.take() else {
            return Err(system("release the command")(io::ErrorKind::NotFound.into()));
        };
        let pid = child.id().cast_signed();
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
        let (tell, ended) = crossbeam_channel::bounded(1);
        std::thread::Builder::new()
            .name("dtrace-command".to_owned())
            .spawn(move || {
                let status = match catch_up {
                    Some(catch_up) => system::run_to_exit(&child, || catch_up.wait()),
                    None => child.wait(),
                };
                let ran = began.elapsed();
                stop.stop();
                let _ = tell.send(status.ok().map(|status| CommandOutcome { status, ran }));
            })
            .map_err(system("start a thread"))?;
        Ok(Waiting { pid, ended })
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
    pid: i32,
    ended: crossbeam_channel::Receiver<Option<CommandOutcome>>,
}

impl Waiting {
    pub(super) fn wait(self) -> Option<CommandOutcome> {
        self.ended.recv().ok().flatten()
    }

    pub(super) fn kill(self) -> Option<CommandOutcome> {
        match self.ended.try_recv() {
            Ok(end) => end,
            Err(_) => {
                // The pid is certain to be this process's only while nobody has reaped it.
                let pid = nix::unistd::Pid::from_raw(self.pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                self.wait()
            }
        }
    }
}
