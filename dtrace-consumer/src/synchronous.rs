//! Run a command under tracing, and return when it has ended and everything is delivered.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::time::Instant;

#[cfg(target_os = "linux")]
use crate::boundary::exit_stop;
use crate::boundary::held_command::{self, Hold};
use crate::builder::{Builder, closure_methods};
use crate::dispatch::Closures;
use crate::error::{Error, Failure};
use crate::outcome::{CommandOutcome, Outcome};
use crate::session::Live;
use crate::stop::{CatchUp, StopHandle};
use crate::stream::job::{Gate, Source, Target};

/// A command that is to be run under tracing; made by [`run_synchronous`].
///
/// Its closures run on the calling thread, within [`run`](Synchronous::run), and may borrow the
/// caller's variables.
pub type Synchronous<'f> = Builder<Closures<'f>>;

/// Runs a command under tracing by a D script.
///
/// The command is started but held, with `$target` set to its process, until tracing is on; then it
/// runs, with the caller's standard input, output and error. [`run`](Synchronous::run) returns
/// when it has ended and everything that was recorded up to then has been delivered to the closures.
///
/// If the script asks for functions of processes (`ustack()`, `usym()` and their kin), the command
/// stops at its end for as long as it takes to look up the names of its functions, at most two seconds:
/// afterwards they cannot be had. It is traced for that (ptrace), so a set-uid program that it
/// executes does not get its privileges unless this process has them.
///
/// ```no_run
/// use std::collections::BTreeMap;
///
/// let mut calls = BTreeMap::new();
/// let outcome = dtrace_consumer::run_synchronous(
///     "syscall:::entry /pid == $target/ { @[probefunc] = count(); }",
///     ["ls", "-l"],
/// )
/// .walk(|entry| {
///     *calls.entry(entry.key::<String>(0)?).or_insert(0) += entry.number()?;
///     Ok(())
/// })
/// .run()?;
/// println!("{calls:?}, {}", outcome.losses);
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn run_synchronous<'f, S: AsRef<OsStr>>(
    script: &str,
    command: impl IntoIterator<Item = S>,
) -> Synchronous<'f> {
    let mut words = command.into_iter();
    // An empty command fails when it is started, with the system's own words.
    let mut command = Command::new(words.next().as_ref().map_or(OsStr::new(""), AsRef::as_ref));
    command.args(words);
    Builder { command: Some(command), ..Builder::new(script) }
}

impl<'f> Builder<Closures<'f>> {
    closure_methods!('f);

    /// Changes the command before it is started: its environment, directory, standard streams.
    pub fn configure_command(mut self, configure: impl FnOnce(&mut Command)) -> Self {
        if let Some(command) = &mut self.command {
            configure(command);
        }
        self
    }

    /// Starts tracing, lets the command run, and delivers everything.
    ///
    /// When a closure fails or the worker dies, tracing ends and the command is killed, as dtrace(1)
    /// does with commands that it has created.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the script does not compile
    /// ([`Error::Compile`]), the command cannot be started ([`Error::Command`]), tracing is not possible
    /// ([`Error::Unavailable`]), a closure failed ([`Error::Callback`], [`Error::Panicked`])… That the
    /// command itself fails is no error; see [`Outcome::command`].
    pub fn run(self) -> Result<Outcome, Failure> {
        let Builder { settings, closures, command, stop } = self;
        let Some(mut command) = command else {
            let mut live = crate::session::start(&settings, closures, &stop, || Ok(None))?;
            let delivered = live.deliver();
            return finish(live, delivered, None);
        };
        // Were it only in a comment, the command would stop at its end without need.
        let user_symbols = ["ustack", "jstack", "usym", "umod", "uaddr", "ufunc"];
        let wants_symbols = settings.sources.iter().any(|it| it.mentions(&user_symbols));
        let at = where_to_hold(&settings.sources);
        held_command::prepare(&mut command, at);
        let mut held = Held::default();
        let mut live = crate::session::start(&settings, closures, &stop, || {
            // A worker that failed may have left breakpoints in a command that it was attached to.
            if held.child.is_none() || held.gate.is_some() {
                held = Held::default();
                held = Held::spawn(&mut command, at)?;
            }
            Ok(Some(Target { pid: held.pid(), gate: held.gate.clone() }))
        })?;
        // It keeps the command's ends of pipes open, on whose end a closure may wait.
        drop(command);
        let catch_up = wants_symbols.then(|| live.catch_up());
        let waiting = held.release(stop, catch_up)?;
        let delivered = live.deliver();
        finish(live, delivered, Some(waiting))
    }
}

/// Runs a D script on the calling thread, until it calls `exit()` or a
/// [stop handle](Builder::stop_handle) ends the session.
///
/// ```no_run
/// let outcome = dtrace_consumer::trace("BEGIN { printf(\"%d\", 42); exit(0); }")
///     .out(|output| {
///         println!("{output}");
///         Ok(())
///     })
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn trace<'f>(script: &str) -> Synchronous<'f> {
    Builder::new(script)
}

/// A session on the calling thread whose programs are yet to be added, by
/// [`script_file`](Builder::script_file), [`probes`](Builder::probes) or [`script`](Builder::script).
pub fn session<'f>() -> Synchronous<'f> {
    Builder::empty()
}

/// Where a command has to be held for probes that the scripts may have in it: on its functions
/// (`pid$target:…`), or those that it defines itself (`myapp$target:…`). It is about the text alone; where
/// it is wrong, the command is attached to without need.
fn where_to_hold(sources: &[Source]) -> Hold {
    let mut hold = Hold::Exec;
    for source in sources {
        let text = String::from_utf8_lossy(&source.text);
        for (at, target) in text.match_indices("$target") {
            if text[at + target.len()..].trim_start().starts_with(':') {
                let is_name = |c: char| c.is_ascii_alphanumeric() || "_-*?[]".contains(c);
                let before = &text[..at];
                let provider = &before[before.trim_end_matches(is_name).len()..];
                if provider != "pid" {
                    return Hold::Main;
                }
                hold = Hold::Entry;
            }
        }
    }
    hold
}

/// Puts together what the session and the command came to.
fn finish(
    mut live: Live<'_>,
    delivered: Result<(), Error>,
    waiting: Option<Waiting>,
) -> Result<Outcome, Failure> {
    let ended = match (waiting, &delivered) {
        (None, _) => None,
        // The script may have called exit() while the command still runs: it is waited for, since it
        // does no harm.
        (Some(waiting), Ok(())) => waiting.wait(),
        (Some(waiting), Err(_)) => waiting.kill(),
    };
    if let Some(end) = ended {
        live.command_ended(end);
    }
    let outcome = live.into_outcome();
    match delivered {
        Ok(()) => Ok(*outcome),
        Err(error) => Err(Failure { error, outcome }),
    }
}

/// A command that is held; it is killed unless it is released.
#[derive(Default)]
struct Held {
    child: Option<Child>,
    gate: Option<Gate>,
}

impl Held {
    fn spawn(command: &mut Command, at: Hold) -> Result<Held, Error> {
        let (child, gate) = held_command::spawn_held(command, at).map_err(|cause| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::Command { program, cause }
        })?;
        Ok(Held { child: Some(child), gate })
    }

    fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.id().cast_signed())
    }

    /// Lets the command run; its end stops the session. If its symbols are wanted, it stops at its
    /// end until they have been looked up.
    fn release(mut self, stop: StopHandle, catch_up: Option<CatchUp>) -> Result<Waiting, Error> {
        let system = |attempt| move |cause| Error::System { attempt, cause };
        let Some(mut child) = self.child.take() else {
            return Err(system("release the command")(io::ErrorKind::NotFound.into()));
        };
        let pid = child.id().cast_signed();
        // One that libdtrace traces cannot be traced otherwise.
        let catch_up = catch_up.filter(|_| self.gate.is_none() && cfg!(target_os = "linux"));
        let released = match &catch_up {
            Some(_) => held_command::leave_stopped(&child),
            None => held_command::release(&child, self.gate.is_some()),
        };
        if let Err(e) = released {
            kill(&mut child);
            return Err(system("let the command run")(e));
        }
        let began = Instant::now();
        let (tell, ended) = crossbeam_channel::bounded(1);
        std::thread::Builder::new()
            .name("dtrace-command".to_owned())
            .spawn(move || {
                let status = match catch_up {
                    #[cfg(target_os = "linux")]
                    Some(catch_up) => exit_stop::run_to_exit(&child, || catch_up.wait()),
                    _ => child.wait(),
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

/// A command that runs, and is waited for by a thread.
struct Waiting {
    pid: i32,
    ended: crossbeam_channel::Receiver<Option<CommandOutcome>>,
}

impl Waiting {
    fn wait(self) -> Option<CommandOutcome> {
        self.ended.recv().ok().flatten()
    }

    fn kill(self) -> Option<CommandOutcome> {
        match self.ended.try_recv() {
            Ok(end) => end,
            Err(_) => {
                // Only while nobody has reaped it is the number surely this process's.
                let pid = nix::unistd::Pid::from_raw(self.pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                self.wait()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            name: String::new(),
            argument_zero: String::new(),
            text: text.as_bytes().to_vec(),
            arguments: Vec::new(),
            specifier: None,
        }
    }

    #[test]
    fn a_command_is_held_where_its_own_probes_can_be_found() {
        for (text, expected) in [
            ("pid$target:a.out:main:entry", Hold::Entry),
            ("BEGIN{}\nmyapp$target :::request {}", Hold::Main),
            ("pid$target:::entry,*$target:::request {}", Hold::Main),
            ("syscall:::entry /pid == $target/ {}", Hold::Exec),
            ("BEGIN { trace($target); }", Hold::Exec),
            ("", Hold::Exec),
        ] {
            assert_eq!(where_to_hold(&[source(text)]), expected, "{text}");
        }
    }
}
