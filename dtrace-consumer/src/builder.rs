//! What does a user say to set up a session?
//!
//! The same for a session in a thread of its own and for a command that is run synchronously; they
//! differ in what their closures may borrow.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::aggregation::{Mode, Order};
use crate::description::ProgramInfo;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, RowsError};
use crate::elevation::Elevation;
use crate::error::Error;
use crate::listing::ListedProbe;
use crate::option::{PREPROCESS, Setting, ZERO_MATCHES};
use crate::query;
use crate::session::{self, Settings};
use crate::stop::StopHandle;
use crate::stream::job::{Process, Purpose, Source, Specifier};

/// Sets up a session.
///
/// `C` is the set of closures: [`crate::Synchronous`] and [`crate::ConsumerThreadBuilder`] are the two kinds.
#[must_use = "a builder does nothing until it is run or spawned"]
pub struct Builder<C> {
    pub(crate) settings: Settings,
    pub(crate) closures: C,
    pub(crate) command: Option<std::process::Command>,
    pub(crate) stop: StopHandle,
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl<C: Default> Builder<C> {
    pub(crate) fn empty() -> Builder<C> {
        Builder {
            settings: Settings::default(),
            closures: C::default(),
            command: None,
            stop: StopHandle::new(),
        }
    }

    pub(crate) fn new(script: &str) -> Builder<C> {
        Builder::empty().script("script", script)
    }
}

impl<C> Builder<C> {
    /// Adds a D program from text. All programs of a session are compiled together; names of
    /// variables are shared among them.
    pub fn script(mut self, name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        self.settings.sources.push(Source {
            argument_zero: name.clone(),
            name,
            text: text.into(),
            arguments: Vec::new(),
            specifier: None,
        });
        self
    }

    /// Adds a D program that may be a bare probe description, as the arguments of `dtrace -P`, `-m`,
    /// `-f`, `-n` and `-i` are; messages about it have no line numbers.
    pub fn probes(mut self, specifier: Specifier, program: impl Into<String>) -> Self {
        let program = program.into();
        self.settings.sources.push(Source {
            name: program.clone(),
            argument_zero: std::env::args().next().unwrap_or_default(),
            text: program.into_bytes(),
            arguments: Vec::new(),
            specifier: Some(specifier),
        });
        self
    }

    /// Starts a process for libdtrace to control, as `dtrace -c` does: it runs as the worker does, and
    /// is held until tracing is on. The first process is `$target`. The session ends with the last one
    /// that was created or grabbed; a process that still runs then, because the script has called
    /// `exit()`, is killed. May be called several times.
    ///
    /// libdtrace holds it where the option `evaltime` says: behind the constructors of its libraries and
    /// its own, unless that is set to `exec`.
    pub fn create<S: Into<String>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        let words = command.into_iter().map(Into::into).collect();
        self.settings.processes.push(Process::Create(words));
        self
    }

    /// Has libdtrace control a running process, as `dtrace -p` does: it is stopped until tracing is
    /// on. The first process is `$target`. The session ends with the last one that was created or
    /// grabbed; a grabbed process goes on running.
    pub fn grab(mut self, pid: i32) -> Self {
        self.settings.processes.push(Process::Grab(pid));
        self
    }

    /// Has libdtrace format every record, as it does for an `out` closure, for
    /// [`Firing::text`](crate::Firing::text) and [`Firing::output`](crate::Firing::output).
    pub fn formatted(mut self) -> Self {
        self.settings.formatted = true;
        self
    }

    /// Lets the worker write to this process's standard error: what a process of
    /// [`create`](Builder::create) or the preprocessor says, and libdtrace's own logs. Otherwise that is
    /// kept for the message of a worker that dies.
    pub fn inherit_stderr(mut self) -> Self {
        self.settings.inherit_stderr = true;
        self
    }

    /// Leaves commands of the script's `system()` action to the closures, which find them among a
    /// firing's [output](crate::Firing::output). Otherwise they are run by the shell, in the user's
    /// process and in their order among the other output.
    pub fn keep_system(mut self) -> Self {
        self.settings.keep_system = true;
        self
    }

    /// The macro arguments `$1`, `$2`… of the script added last.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        if let Some(source) = self.settings.sources.last_mut() {
            source.arguments = arguments.into_iter().map(Into::into).collect();
        }
        self
    }

    /// Sets an option with a value, as `dtrace -x name=value` does: `bufsize`, `switchrate`,
    /// `strsize`… `bufsize` and `aggsize` are `4m` unless set. See dtrace(8) for all of them.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.options.push((name.into(), Some(value.into())));
        self
    }

    /// Sets an option; [`crate::option`] has them with the types of their values.
    pub fn set(mut self, setting: Setting) -> Self {
        self.settings.options.push((setting.name.to_owned(), setting.value));
        self
    }

    /// Sets an option that takes no value, as `dtrace -x name` does: `destructive`, `flowindent`…
    pub fn flag(mut self, name: impl Into<String>) -> Self {
        self.settings.options.push((name.into(), None));
        self
    }

    /// Adds a D program from a file.
    ///
    /// # Errors
    /// [`Error::Script`] if the file cannot be read.
    pub fn script_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let script = path.display().to_string();
        match std::fs::read(path) {
            Ok(text) => Ok(self.script(script, text)),
            Err(e) => Err(Error::Script { script, reason: e.to_string() }),
        }
    }

    /// Makes the value of an option, as it is when tracing begins, known to `on_start` and in the
    /// [`Outcome`](crate::Outcome::initial_option).
    pub fn read_option(mut self, name: impl Into<String>) -> Self {
        self.settings.read_options.push(name.into());
        self
    }

    /// Runs the scripts through the C preprocessor, as `dtrace -C` does; cpp(1) must be installed.
    pub fn preprocess(self) -> Self {
        self.compile_flags(PREPROCESS)
    }

    /// Defines a name for the preprocessor, as `name` or `name=value` (`dtrace -D`).
    pub fn define(self, definition: impl Into<String>) -> Self {
        self.option("define", definition)
    }

    /// Adds a folder to those that the preprocessor includes from (`dtrace -I`).
    pub fn include_dir(self, directory: impl AsRef<Path>) -> Self {
        self.option("incdir", directory.as_ref().to_string_lossy())
    }

    /// Adds a folder of D libraries (`dtrace -L`).
    pub fn library_dir(self, directory: impl AsRef<Path>) -> Self {
        self.option("libdir", directory.as_ref().to_string_lossy())
    }

    /// Sets flags of the compiler (`DTRACE_C_*`), for those that have no method of their own.
    pub fn compile_flags(mut self, flags: u32) -> Self {
        self.settings.compile_flags |= flags;
        self
    }

    /// Compiles the scripts, but does not trace: for editors and tests. The result says for each
    /// script what it matched and how stable it is.
    ///
    /// # Errors
    /// [`Error::Compile`] if one does not compile; others as for a session.
    pub fn check(self) -> Result<Vec<ProgramInfo>, Error> {
        let mut dispatcher =
            Dispatcher::new(Closures::default(), LossPolicy::Count, Default::default());
        session::inquire(&self.settings, Purpose::Check, |frame, at| dispatcher.take(frame, at))?;
        Ok(dispatcher.outcome.programs)
    }

    /// The probes that the scripts' clauses match, without tracing. `describe` asks for their
    /// stability and arguments, too.
    ///
    /// # Errors
    /// As of [`check`](Builder::check).
    pub fn matched_probes(self, describe: bool) -> Result<Vec<ListedProbe>, Error> {
        let purpose = Purpose::List { patterns: Vec::new(), describe };
        query::list(&self.settings, purpose)
    }

    /// Accepts probe descriptions that match no probe, as `dtrace -Z` does: such clauses never fire.
    pub fn allow_zero_matches(self) -> Self {
        self.compile_flags(ZERO_MATCHES)
    }

    /// What to do when something is lost; [`LossPolicy::Warn`] unless set.
    pub fn losses(mut self, policy: LossPolicy) -> Self {
        self.settings.losses = policy;
        self
    }

    /// Walks the aggregations every `interval` while tracing, besides once at the end.
    pub fn walk_every(mut self, interval: Duration) -> Self {
        // An interval of nothing would leave no time for anything else.
        self.settings.interval = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// What the values of a walk stand for; [`Mode::Cumulative`] unless set.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// In which order the entries of a walk come; [`Order::Value`] unless set.
    pub fn order(mut self, order: Order) -> Self {
        self.settings.order = order;
        self
    }

    /// Delivers the entries that each `printa()` of the script prints with its record; see
    /// [`Record::aggregated`](crate::Record::aggregated).
    pub fn printed_entries(mut self) -> Self {
        self.settings.printed = true;
        self
    }

    /// Keeps everything that is delivered in a file, to be [replayed](crate::replay).
    pub fn record(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.recording = Some(path.into());
        self
    }

    /// Ends the session as damaged at a frame of more than `bytes`; 64 MiB unless set. The largest
    /// frames are those of single firings, with all of their records and text.
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.settings.frame_limit = Some(bytes);
        self
    }

    /// Ends the session with [`Error::WorkerSilent`], and kills its worker, when the worker says nothing
    /// for this long where it should: while it starts, and from the request to stop on. 5 minutes
    /// unless set. libdtrace may need most of a minute for hundreds of probes, and more on slow
    /// machines.
    pub fn silence_limit(mut self, limit: Duration) -> Self {
        self.settings.silence_limit = Some(limit);
        self
    }

    /// Ends the session as damaged when more than about `bytes` would have to be kept of what it
    /// describes; there is no limit unless one is set. Long sessions that meet ever new symbols or
    /// processes keep ever more. See [`Replay::memory_limit`](crate::Replay::memory_limit) for what is kept.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_limit = Some(bytes);
        self
    }

    /// Looks for libdtrace in this prefix first; see [`crate::locate`].
    pub fn prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.settings.prefix = Some(prefix.into());
        self
    }

    /// Lets `handle` end the session; needed for those that run on the calling thread.
    pub fn stop_handle(mut self, handle: &StopHandle) -> Self {
        self.stop = handle.clone();
        self
    }

    /// Names the program that is started as worker, such as this crate's `dtrace-worker`. It is
    /// needed where this crate is not part of the process's own executable, as in an extension
    /// module of an interpreter.
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.settings.worker = Some(program.into());
        self
    }

    /// How the worker gets the privilege that tracing needs, where this process does not have it.
    ///
    /// The installed program [`dtrace-worker`](crate::INSTALLED_WORKERS), or the one that
    /// [`worker`](Builder::worker) names, is started by sudo(8), doas(1)… with the argument `serve`. It
    /// refuses what would give this user more than tracing: [`crate::serve`] has the rules. The traced
    /// command, and commands of `system()`, stay unprivileged: this process starts them.
    pub fn elevation(mut self, elevation: Elevation) -> Self {
        self.settings.elevation = elevation;
        self
    }
}

/// Writes the methods that take closures, for closures with the bound `$send` and lifetime `$life`.
macro_rules! closure_methods {
    ($life:lifetime $(, $send:ident)?) => {
        /// Called for each aggregation entry of each walk: once at the end, and
        /// every so often if [`walk_every`](crate::Builder::walk_every) is set. Values stand for what
        /// [`mode`](crate::Builder::mode) says.
        pub fn walk<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&$crate::aggregation::Aggregated<'a>) -> $crate::CallbackResult
                $(+ $send)? + $life,
        {
            self.closures.walk = Some(Box::new(closure));
            self
        }

        /// Called for each tuple of keys, at the end of each walk, with the values of several
        /// aggregations side by side (`dtrace_aggregate_walk_joined`).
        pub fn walk_joined<F, S>(mut self, names: impl IntoIterator<Item = S>, closure: F) -> Self
        where
            F: for<'a> FnMut(&$crate::aggregation::Joined<'a>) -> $crate::CallbackResult
                $(+ $send)? + $life,
            S: Into<String>,
        {
            self.closures.joined_names = names.into_iter().map(Into::into).collect();
            self.closures.joined = Some(Box::new(closure));
            self
        }

        /// Called at the end of each walk.
        pub fn walked<F>(mut self, closure: F) -> Self
        where
            F: FnMut() -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.walked = Some(Box::new(closure));
            self
        }

        /// Called for what each record prints, as dtrace(1) would print it. Setting it makes
        /// libdtrace format every record, which costs more than the other closures.
        pub fn out<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&$crate::Output<'a>) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.out = Some(Box::new(closure));
            self
        }

        /// Called for each firing of each clause.
        pub fn chew<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&$crate::Firing<'a>) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.chew = Some(Box::new(closure));
            self
        }

        /// Called for each record of each firing, after `chew`.
        pub fn chewrec<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&$crate::Record<'a>) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.chewrec = Some(Box::new(closure));
            self
        }

        /// Called with the values of each firing that has any, as a tuple or structure by position:
        /// the arguments of a `printf`, the expressions of `trace`. A firing that does not fit ends the
        /// session with [`Error::Row`](crate::Error::Row).
        pub fn rows<T, F>(mut self, mut closure: F) -> Self
        where
            T: serde::de::DeserializeOwned,
            F: FnMut(T) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.rows = Some(Box::new(move |firing: &$crate::Firing<'_>| {
                $crate::builder::call_with_row(firing, &mut closure)
            }));
            self
        }

        /// Called once at the end with what dtrace(1) would print then: the aggregations that the
        /// script has not printed itself.
        pub fn report<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&'a [u8]) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.report = Some(Box::new(closure));
            self
        }

        /// Called when tracing is on, with what is known of the session by then.
        pub fn on_start<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&'a $crate::Outcome) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.on_start = Some(Box::new(closure));
            self
        }

        /// Called when the script changes an option with `setopt()`.
        pub fn on_option<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&'a $crate::OptionChange) -> $crate::CallbackResult
                $(+ $send)? + $life,
        {
            self.closures.on_option = Some(Box::new(closure));
            self
        }

        /// Called when a traced process ends or cannot be followed.
        pub fn on_process<F>(mut self, closure: F) -> Self
        where
            F: for<'a> FnMut(&'a $crate::ProcessEvent) -> $crate::CallbackResult
                $(+ $send)? + $life,
        {
            self.closures.on_process = Some(Box::new(closure));
            self
        }

        /// Called for each report of dropped data.
        pub fn on_drop<F>(mut self, closure: F) -> Self
        where
            F: FnMut($crate::DropReport) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.on_drop = Some(Box::new(closure));
            self
        }

        /// Called for each error of a clause at run time.
        pub fn on_fault<F>(mut self, closure: F) -> Self
        where
            F: FnMut($crate::Fault) -> $crate::CallbackResult $(+ $send)? + $life,
        {
            self.closures.on_fault = Some(Box::new(closure));
            self
        }
    };
}
pub(crate) use closure_methods;

pub(crate) fn call_with_row<T: serde::de::DeserializeOwned>(
    firing: &crate::Firing<'_>,
    closure: &mut impl FnMut(T) -> crate::CallbackResult,
) -> Result<(), RowsError> {
    if firing.values().next().is_none() {
        return Ok(());
    }
    let row = firing.row().map_err(RowsError::Row)?;
    closure(row).map_err(RowsError::Callback)
}
