//! What can be set for a session that traces live?

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::live::Live;
use super::option::Setting;
use super::session::{Session, Source};
use super::traced::Traced;
use crate::client::elevation::Elevation;
use crate::client::settings::Settings;
use crate::data::aggregation::Order;
use crate::data::script::Script;
use crate::stream::compile_flags::{PREPROCESS, ZERO_MATCHES};
use crate::stream::job::Process;

/// Sources that trace live: [`Live`] and [`Traced`].
pub trait Traces: Source + sealed::Traces {}

impl<S: sealed::Traces + Source> Traces for S {}

mod sealed {
    use super::*;

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
}

impl<S: Traces, C> Session<S, C> {
    /// Adds a D program. All programs of a session are compiled together; names of variables are shared
    /// among them.
    pub fn script(mut self, script: impl Into<Script>) -> Self {
        self.source.settings().scripts.push(script.into());
        self
    }

    /// Sets an option with a value, as `dtrace -x name=value` does: `bufsize`, `switchrate`,
    /// `strsize`… `bufsize` and `aggsize` are `4m` unless set. See dtrace(8) for all of them.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.source.settings().options.push((name.into(), Some(value.into())));
        self
    }

    /// Sets an option; [`crate::option`] has them with the types of their values.
    pub fn set(mut self, setting: Setting) -> Self {
        self.source.settings().options.push((setting.name.to_owned(), setting.value));
        self
    }

    /// Sets an option that takes no value, as `dtrace -x name` does: `destructive`, `flowindent`…
    pub fn flag(mut self, name: impl Into<String>) -> Self {
        self.source.settings().options.push((name.into(), None));
        self
    }

    /// Makes the value of an option, as it is when tracing begins, known to `on_start` and in the
    /// [`Outcome`](crate::Outcome::initial_option).
    pub fn read_option(mut self, name: impl Into<String>) -> Self {
        self.source.settings().read_options.push(name.into());
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
        self.source.settings().compile_flags |= flags;
        self
    }

    /// Accepts probe descriptions that match no probe, as `dtrace -Z` does: such clauses never fire.
    pub fn allow_zero_matches(self) -> Self {
        self.compile_flags(ZERO_MATCHES)
    }

    /// Has libdtrace control a running process, as `dtrace -p` does: it is stopped until tracing is
    /// on. The first process is `$target`. The session ends with the last one that was created or
    /// grabbed; a grabbed process goes on running.
    pub fn grab(mut self, pid: i32) -> Self {
        self.source.settings().processes.push(Process::Grab(pid));
        self
    }

    /// Walks the aggregations every `interval` while tracing, besides once at the end.
    pub fn walk_every(mut self, interval: Duration) -> Self {
        // An interval of nothing would leave no time for anything else.
        self.source.settings().interval = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// In which order the entries of a walk come; [`Order::Value`] unless set.
    pub fn order(mut self, order: Order) -> Self {
        self.source.settings().order = order;
        self
    }

    /// Delivers the entries that each `printa()` of the script prints with its record; see
    /// [`Record::aggregated`](crate::Record::aggregated).
    pub fn printed_entries(mut self) -> Self {
        self.source.settings().printed = true;
        self
    }

    /// Has libdtrace format every record, as it does for an `out` closure, for
    /// [`Firing::text`](crate::Firing::text) and [`Firing::output`](crate::Firing::output).
    pub fn formatted(mut self) -> Self {
        self.source.settings().formatted = true;
        self
    }

    /// Leaves commands of the script's `system()` action to the closures, which find them among a
    /// firing's [output](crate::Firing::output). Otherwise they are run by the shell, in the user's
    /// process and in their order among the other output.
    pub fn keep_system(mut self) -> Self {
        self.source.settings().keep_system = true;
        self
    }

    /// Keeps everything that is delivered in a file, to be [replayed](crate::replay).
    pub fn record(mut self, path: impl Into<PathBuf>) -> Self {
        self.source.settings().recording = Some(path.into());
        self
    }

    /// Ends the session with [`Error::WorkerSilent`](crate::Error::WorkerSilent), and kills its worker, when the worker says nothing
    /// for this long where it should: while it starts, and from the request to stop on. 5 minutes
    /// unless set. libdtrace may need most of a minute for hundreds of probes, and more on slow
    /// machines.
    pub fn silence_limit(mut self, limit: Duration) -> Self {
        self.source.settings().silence_limit = Some(limit);
        self
    }

    /// Lets the worker write to this process's standard error: what a process of
    /// [`create`](Session::create) or the preprocessor says, and libdtrace's own logs. Otherwise that is
    /// kept for the message of a worker that dies.
    pub fn inherit_stderr(mut self) -> Self {
        self.source.settings().inherit_stderr = true;
        self
    }

    /// Looks for libdtrace in this prefix first; see [`crate::locate`].
    pub fn prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.source.settings().access.prefix = Some(prefix.into());
        self
    }

    /// Names the program that is started as worker, such as this crate's `dtrace-worker`. It is
    /// needed where this crate is not part of the process's own executable, as in an extension
    /// module of an interpreter.
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.source.settings().access.worker = Some(program.into());
        self
    }

    /// How the worker gets the privilege that tracing needs, where this process does not have it.
    ///
    /// The installed program [`dtrace-worker`](crate::elevation::INSTALLED_WORKERS), or the one that
    /// [`worker`](Session::worker) names, is started by sudo(8), doas(1)… with the argument `serve`. It
    /// refuses what would give this user more than tracing: [`crate::serve`] has the rules. The traced
    /// command, and commands of `system()`, stay unprivileged: this process starts them.
    pub fn elevation(mut self, elevation: Elevation) -> Self {
        self.source.settings().access.elevation = elevation;
        self
    }
}
