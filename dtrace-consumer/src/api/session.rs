//! What is a session, before it runs?

use std::fmt;
use std::process::Command;

use crate::client::run;
use crate::client::settings::Settings;
use crate::data::outcome::Outcome;
use crate::data::script::Script;
use crate::decode::consumer::Consumer;
use crate::decode::dispatcher::Delivery;
use crate::decode::stop::StopHandle;
use crate::error::failure::Failure;

/// A session that is being set up.
///
/// `S` is where its data come from: [`Live`] tracing, live tracing around a command ([`Traced`]), or a
/// recording ([`Recorded`](crate::session::Recorded)). What cannot be set for one of them does not exist there. `C` is who
/// receives the data: handlers are added by [`chew`](Session::chew), [`walk`](Session::walk) and the
/// like, or all together by [`consumer`](Session::consumer).
#[must_use = "a session does nothing until it is run or spawned"]
pub struct Session<S, C = ()> {
    pub(super) source: S,
    pub(super) consumer: C,
    pub(super) stop: StopHandle,
}

/// Live tracing, until the script calls `exit()` or the session is stopped. Made by [`trace`].
#[derive(Debug)]
pub struct Live {
    pub(super) settings: Settings,
}

/// Live tracing while a command runs. Made by [`run_synchronous`], or from a [`Live`] session by
/// [`command`](Session::command).
#[derive(Debug)]
pub struct Traced {
    pub(super) settings: Settings,
    pub(super) command: Command,
}

/// Where the data of a [`Session`] come from.
pub trait Source: sealed::Source {}

impl<S: sealed::Source> Source for S {}

/// Sources that trace live.
pub trait Traces: Source + sealed::Traces {}

impl<S: sealed::Traces + Source> Traces for S {}

pub(crate) mod sealed {
    use super::*;

    /// What every source can do. Only this crate's own are sources.
    pub trait Source {
        /// How the data are delivered.
        fn delivery(&mut self) -> &mut Delivery;

        /// The largest frame that is accepted, in bytes.
        fn frame_limit(&mut self) -> &mut Option<usize>;

        /// Whether there is text, as far as that is known before it runs.
        fn has_text(&self) -> bool;

        /// Delivers everything; `started` is called when the first data may come.
        ///
        /// # Errors
        /// Why not everything was delivered.
        fn run<'c>(
            self,
            consumer: impl Consumer + 'c,
            stop: StopHandle,
            started: impl FnOnce(),
        ) -> Result<Outcome, Failure>;
    }

    /// What sources that trace live can do.
    pub trait Traces {
        /// What is set for the session.
        fn settings(&mut self) -> &mut Settings;
    }

    impl Traces for Live {
        fn settings(&mut self) -> &mut Settings {
            &mut self.settings
        }
    }

    impl Traces for Traced {
        fn settings(&mut self) -> &mut Settings {
            &mut self.settings
        }
    }

    impl Source for Live {
        fn has_text(&self) -> bool {
            self.settings.formatted
        }

        fn delivery(&mut self) -> &mut Delivery {
            &mut self.settings.delivery
        }

        fn frame_limit(&mut self) -> &mut Option<usize> {
            &mut self.settings.frame_limit
        }

        fn run<'c>(
            self,
            consumer: impl Consumer + 'c,
            stop: StopHandle,
            started: impl FnOnce(),
        ) -> Result<Outcome, Failure> {
            run::run(&self.settings, None, consumer, stop, started)
        }
    }

    impl Source for Traced {
        fn has_text(&self) -> bool {
            self.settings.formatted
        }

        fn delivery(&mut self) -> &mut Delivery {
            &mut self.settings.delivery
        }

        fn frame_limit(&mut self) -> &mut Option<usize> {
            &mut self.settings.frame_limit
        }

        fn run<'c>(
            self,
            consumer: impl Consumer + 'c,
            stop: StopHandle,
            started: impl FnOnce(),
        ) -> Result<Outcome, Failure> {
            run::run(&self.settings, Some(self.command), consumer, stop, started)
        }
    }
}

impl<S, C> Session<S, C> {
    /// Replaces the consumer.
    pub(super) fn map<D>(self, change: impl FnOnce(C) -> D) -> Session<S, D> {
        let Session { source, consumer, stop } = self;
        Session { source, consumer: change(consumer), stop }
    }
}

impl<S> Session<S> {
    pub(super) fn of(source: S) -> Session<S> {
        Session { source, consumer: (), stop: StopHandle::new() }
    }
}

impl<S: Source, C: Consumer> Session<S, C> {
    /// Delivers everything to the handlers, which are called on this thread.
    ///
    /// A live session traces until the script calls `exit()`, a [stop handle](Session::stop_handle)
    /// ends it, or its command ends. When a handler fails or the worker dies, tracing ends and the
    /// command is killed, as dtrace(1) kills commands that it has created.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the script does not compile
    /// ([`Error::Compile`](crate::Error::Compile)), the command cannot be started
    /// ([`Error::Command`](crate::Error::Command)), tracing is not possible
    /// ([`Error::Unavailable`](crate::Error::Unavailable)), a handler failed
    /// ([`Error::Callback`](crate::Error::Callback), [`Error::Panicked`](crate::Error::Panicked)), a
    /// recording is damaged ([`Error::Stream`](crate::Error::Stream))… That a command fails is no
    /// error; see [`Outcome::command`].
    pub fn run(self) -> Result<Outcome, Failure> {
        let Session { source, consumer, stop } = self;
        source.run(consumer, stop, || ())
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Session<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Traces with a D script.
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
pub fn trace(script: impl Into<Script>) -> Session<Live> {
    let settings = Settings { scripts: vec![script.into()], ..Settings::default() };
    Session::of(Live { settings })
}

/// Runs a command under tracing by a D script.
///
/// The command is started but held, with `$target` set to its process, until tracing is on; then it
/// runs, with the caller's standard input, output and error. [`run`](Session::run) returns
/// when it has ended and everything that was recorded up to then has been delivered to the handlers.
/// `command` is the program and its arguments; a [`std::process::Command`] is taken by
/// [`command`](Session::command).
///
/// If the script asks for functions of processes (`ustack()`, `usym()` and their kin), the command
/// stops at its end for as long as it takes to look up the names of its functions, at most two seconds:
/// afterwards they are unavailable. It is traced for that (ptrace), so a set-uid program that it
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
pub fn run_synchronous<W: AsRef<std::ffi::OsStr>>(
    script: impl Into<Script>,
    command: impl IntoIterator<Item = W>,
) -> Session<Traced> {
    let mut words = command.into_iter();
    // An empty command fails when it is started, with the system's own words.
    let mut command = match words.next() {
        Some(program) => Command::new(program),
        None => Command::new(""),
    };
    command.args(words);
    trace(script).command(command)
}
