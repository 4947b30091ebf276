//! Runs a command under tracing.

use std::process::Command;

use super::command::IntoCommand;
use super::live::{Live, trace};
use super::session::Session;
use crate::client::run::{self, Wanted};
use crate::client::settings::Settings;
use crate::data::script::Script;

/// Live tracing while a command runs. Created by [`run_synchronous`], or from a
/// [`Live`](crate::session::Live) session by [`command`](Session::command).
#[derive(Debug)]
pub struct Traced {
    pub(super) settings: Settings,
    pub(super) traced: run::Traced,
}

/// Runs a command under tracing by a D script.
///
/// The command is started and held, with `$target` set to its process, until tracing is on. Then it runs with
/// the caller's standard input, output and error. [`run`](Session::run) returns when it has ended and
/// everything recorded by then has been delivered to the handlers. `command` is the program and its
/// arguments, or a [`std::process::Command`].
///
/// The command inherits what it would inherit from your program without tracing: nothing from the
/// worker, and none of the session's descriptors. Only its parent-death signal differs: it is
/// SIGKILL. Because the command is held by ptrace(2), a set-uid program gets its privileges only if
/// your program has `CAP_SYS_PTRACE`, as root does.
///
/// [`capture_output`](Session::capture_output) keeps what the command writes.
/// [`command_stdout`](Session::command_stdout) and [`command_stderr`](Session::command_stderr)
/// receive it line by line.
///
/// A [`StopHandle`](crate::StopHandle) or the [deadline](Session::deadline) ends the command with the session:
/// it gets SIGTERM when everything has been delivered, and SIGKILL two seconds later. If the session fails
/// after the command was released, the command keeps running, and [`run`](Session::run) returns the error when
/// it has ended. If the calling process is killed, the kernel kills the command, held or running. `exit()` in
/// the script ends tracing, but not the command.
///
/// Functions of the command and of its libraries have probes too: `pid$target:a.out:main:entry`. They fire
/// however the program was linked.
///
/// If the script records functions of processes (`ustack()`, `usym()` and related actions), or may do so after
/// preprocessing, because it includes a file or pastes words with `##`, the command waits at its end, for two
/// seconds at most, until the names of its functions have been looked up: later they are unavailable. It is
/// traced for that (ptrace), so a set-uid program that it executes gets its privileges only if this process has
/// them. A command with `pid` or USDT probes does not wait, because libdtrace is attached to it.
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
pub fn run_synchronous(script: impl Into<Script>, command: impl IntoCommand) -> Session<Traced> {
    trace(script).command(command)
}

impl<C> Session<Live, C> {
    /// Runs `command` under tracing. It is held until tracing is on, is `$target`, and its end ends the
    /// session. See [`run_synchronous`](crate::run_synchronous).
    ///
    /// ```no_run
    /// use std::process::Command;
    ///
    /// let mut list = Command::new("ls");
    /// list.arg("-l").env("LC_ALL", "C");
    /// dtrace_consumer::trace("syscall::getdents64:return /pid == $target/ { trace(arg1); }")
    ///     .command(list)
    ///     .rows(|bytes: i64| Ok(println!("{bytes} bytes of entries")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn command(self, command: impl IntoCommand) -> Session<Traced, C> {
        let traced = run::Traced { command: command.into_command(), output: Wanted::default() };
        let Session { source: Live { settings }, consumer, ending } = self;
        Session { source: Traced { settings, traced }, consumer, ending }
    }
}

impl<C> Session<Traced, C> {
    /// Changes the command before it is started: its environment, directory, standard streams. A
    /// stream that the session reads, as for [`capture_output`](Session::capture_output), goes to the
    /// session nevertheless.
    pub fn configure_command(mut self, configure: impl FnOnce(&mut Command)) -> Self {
        configure(&mut self.source.traced.command);
        self
    }
}
