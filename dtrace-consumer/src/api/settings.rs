//! Settings of live sessions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::live::Live;
use super::option::Setting;
use super::session::{self, Session, Source};
use super::traced::Traced;
use crate::client::admit::admit_unless_ended;
use crate::client::advise;
use crate::client::elevation::Elevation;
use crate::client::run;
use crate::client::settings::Settings;
use crate::client::warm::warm_up;
use crate::data::outcome::Outcome;
use crate::data::recording::Compression;
use crate::data::script::Script;
use crate::decode::consumer::Consumer;
use crate::decode::delivery::Delivery;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::compile_flags::{PREPROCESS, ZERO_MATCHES};

/// Sources that trace live: [`Live`] and [`Traced`].
pub trait Traces: Source + sealed::Traces {}

impl<S: sealed::Traces + Source> Traces for S {}

mod sealed {
    use super::*;

    /// The operations of sources that trace live.
    pub trait Traces {
        /// Returns the session's settings.
        fn settings(&mut self) -> &mut Settings;

        /// Returns the settings, and the command if the session runs one.
        fn into_parts(self) -> (Settings, Option<run::Traced>);
    }

    impl Traces for Live {
        fn settings(&mut self) -> &mut Settings {
            &mut self.settings
        }

        fn into_parts(self) -> (Settings, Option<run::Traced>) {
            (self.settings, None)
        }
    }

    impl Traces for Traced {
        fn settings(&mut self) -> &mut Settings {
            &mut self.settings
        }

        fn into_parts(self) -> (Settings, Option<run::Traced>) {
            (self.settings, Some(self.traced))
        }
    }
}

impl<S: sealed::Traces> session::sealed::Source for S {
    fn delivery(&mut self) -> &mut Delivery {
        &mut self.settings().delivery
    }

    fn frame_limit(&mut self) -> &mut Option<usize> {
        &mut self.settings().frame_limit
    }

    fn has_text(&mut self) -> bool {
        self.settings().delivery.demands.text
    }

    fn explained(error: Error) -> Error {
        advise::explained(error)
    }

    fn run<'c>(
        self,
        consumer: impl Consumer + 'c,
        ending: &Arc<Ending>,
        started: impl FnOnce(),
    ) -> Result<Outcome, Failure> {
        let (mut settings, command) = self.into_parts();
        settings.command_line = command.as_ref().map(run::Traced::words);
        let deadline = settings.delivery.deadline;
        admit_unless_ended(&mut settings.access, ending, deadline)?;
        run::run(&settings, command, consumer, ending, started)
    }
}

impl<S: Traces, C> Session<S, C> {
    /// Adds a D program. All programs of a session are compiled together and share the names of variables.
    pub fn script(mut self, script: impl Into<Script>) -> Self {
        self.source.settings().scripts.push(script.into());
        self
    }

    /// Sets an option with a value, as `dtrace -x name=value` does: `bufsize`, `switchrate`, `strsize`… The
    /// default of `bufsize` and `aggsize` is `4m`. dtrace(8) lists all options.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.source.settings().options.push((name.into(), Some(value.into())));
        self
    }

    /// Sets an option from [`crate::option`], which has the types of their values.
    pub fn set(mut self, setting: Setting) -> Self {
        self.source.settings().options.push((setting.name.to_owned(), setting.value));
        self
    }

    /// Sets an option that takes no value, as `dtrace -x name` does: `destructive`, `flowindent`…
    pub fn flag(mut self, name: impl Into<String>) -> Self {
        self.source.settings().options.push((name.into(), None));
        self
    }

    /// Reads an option when tracing begins. Reports its value to `on_start` and in the
    /// [`Outcome`](crate::Outcome::initial_option). An option that does not exist causes a
    /// [warning](crate::Outcome::warnings).
    pub fn read_option(mut self, name: impl Into<String>) -> Self {
        self.source.settings().read_options.push(name.into());
        self
    }

    /// Runs the scripts through the C preprocessor, as `dtrace -C` does. Requires cpp(1).
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// dtrace_consumer::trace("#include \"calls.h\"\nsyscall::CALL:entry { @ = count(); }")
    ///     .preprocess()
    ///     .include_dir("scripts/include")
    ///     .define("CALL=openat")
    ///     .library_dir("scripts/lib") // translators and inlines of the program's own
    ///     .silence_limit(Duration::from_secs(60))
    ///     .walk(|entry| Ok(println!("{}", entry.number()?)))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn preprocess(self) -> Self {
        self.compile_flags(PREPROCESS)
    }

    /// Defines a name for the preprocessor, as `name` or `name=value` (`dtrace -D`).
    pub fn define(self, definition: impl Into<String>) -> Self {
        self.option("define", definition)
    }

    /// Adds an include directory for the preprocessor (`dtrace -I`).
    pub fn include_dir(self, directory: impl AsRef<Path>) -> Self {
        self.option("incdir", directory.as_ref().to_string_lossy())
    }

    /// Adds a directory of D libraries (`dtrace -L`).
    pub fn library_dir(self, directory: impl AsRef<Path>) -> Self {
        self.option("libdir", directory.as_ref().to_string_lossy())
    }

    /// Sets compiler flags (`DTRACE_C_*`) that have no method.
    pub fn compile_flags(mut self, flags: u32) -> Self {
        self.source.settings().compile_flags |= flags;
        self
    }

    /// Accepts probe descriptions that match no probe, as `dtrace -Z` does.
    ///
    /// On Linux their clauses never fire, even if the probes appear later, and
    /// [`Outcome::warnings`](crate::Outcome::warnings) names them. On FreeBSD they fire once the probes appear: a
    /// traced command that registers its own probes (`myapp$target:::`) needs this.
    pub fn allow_zero_matches(self) -> Self {
        self.compile_flags(ZERO_MATCHES)
    }

    /// Grabs a running process for libdtrace to control, as `dtrace -p` does. It is stopped until tracing is
    /// on. The first process is `$target`. The session ends with the last process that was created or
    /// grabbed. A grabbed process continues after the session. Grabbing one twice is like grabbing it once.
    pub fn grab(mut self, pid: i32) -> Self {
        let grabbed = &mut self.source.settings().grabbed;
        if !grabbed.contains(&pid) {
            grabbed.push(pid);
        }
        self
    }

    /// Walks the aggregations every `interval` while tracing, in addition to the walk at the end. The session
    /// fails with [`Error::Setting`](crate::Error::Setting) if the interval is shorter than 1 ms.
    pub fn walk_every(mut self, interval: Duration) -> Self {
        self.source.settings().interval = Some(interval);
        self
    }

    /// Limits how long records may wait in the kernel's buffers while many come. The default is 5 ms. The longest delay
    /// is one second, and less than a millisecond counts as one.
    ///
    /// While few records come, the kernel wakes the session for each, which costs the traced program several microseconds.
    /// When four or more come within the delay, they wait: the session looks into the buffers after each delay, and after
    /// each half buffer. No record is lost by that, and the records of a CPU stay in order. The session's end by `exit()`
    /// may wait as long; a stop and the end of the command do not. [`Duration::ZERO`] has every record wake the session.
    /// If records cannot wait, there is a [warning](crate::session::WarningKind::Costly).
    ///
    /// That records wait was measured on Linux 6.1, 6.12, 6.18 and 7.3 for x86_64 (`docs/performance.md`).
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.source.settings().max_delay = Some(delay);
        self
    }

    /// Leaves commands of the script's `system()` action to the closures, which find them in a firing's
    /// [output](crate::Firing::output). By default the user's process runs them with the shell, in order with
    /// the other output.
    pub fn keep_system(mut self) -> Self {
        self.source.settings().keep_system = true;
        self
    }

    /// Records the session to a file, for [replay](crate::replay): the scripts, firings and aggregations even
    /// without a handler for them, and what else the handlers, [`formatted`](Session::formatted) and
    /// [`printed_entries`](Session::printed_entries) ask for. If this process is killed, the recording can be
    /// replayed up to that point.
    pub fn record(mut self, path: impl Into<PathBuf>) -> Self {
        self.source.settings().recording = Some(path.into());
        self
    }

    /// Sets how the [recording](Session::record) is compressed. The default is
    /// [`Zstd`](Compression::Zstd): the file is several times smaller, and recording takes some CPU time of
    /// this process.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.source.settings().compression = compression;
        self
    }

    /// Limits the time that the worker may be silent. A worker that exceeds it is killed, and the
    /// session ends with [`Error::WorkerSilent`](crate::Error::WorkerSilent); a traced command runs
    /// on. The default is 5 minutes while the worker starts and after a request to stop: libdtrace
    /// may need most of a minute for hundreds of probes, and more on slow machines. While tracing,
    /// a worker with nothing to deliver reports that it is alive about every ten seconds, or every
    /// 30 s if the option `switchrate` is longer than that. There the default is one minute, and a
    /// lower limit counts as one minute. The limit also applies to the greeting of an elevated
    /// worker; its default there is 2 minutes.
    pub fn silence_limit(mut self, limit: Duration) -> Self {
        self.source.settings().silence_limit = Some(limit);
        self
    }

    /// Lets the worker write to this process's standard error: output of the
    /// preprocessor, and libdtrace's own logs. By default this text is
    /// kept for the message of a worker that dies.
    pub fn inherit_stderr(mut self) -> Self {
        self.source.settings().inherit_stderr = true;
        self
    }

    /// Sets a prefix to look for libdtrace in first; see [`crate::locate`].
    pub fn prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.source.settings().access.prefix = Some(prefix.into());
        self
    }

    /// Sets the worker's program, such as this crate's `dtrace-worker`. Required if this crate is not part of
    /// the process's own executable, as in an extension module of an interpreter.
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.source.settings().access.worker = Some(program.into());
        self
    }

    /// Opens libdtrace in the background, so that this session and others start in a fraction of the time. Set script,
    /// prefix, worker and elevation before.
    ///
    /// Opening libdtrace takes longer than the rest of most starts. A program's first session leaves an idle
    /// process behind that has libdtrace open, of which the workers of later sessions are copies. It ends with this
    /// program, or a minute after the last session. After this call it stays, unless something changes that a new worker
    /// would inherit from this program, such as its environment or user: then the next session opens libdtrace again.
    /// [`cool_down`](crate::cool_down) ends it.
    ///
    /// This returns at once. A version of libdtrace that has to pass a self-check is checked, too. Whatever fails is
    /// reported by the session. Workers of [elevated](Session::elevation) sessions are never copies: for them this does
    /// nothing.
    ///
    /// ```no_run
    /// let session = dtrace_consumer::trace("syscall:::entry { @[execname] = count(); }").warm_up();
    /// // ... until the user presses a button
    /// session.run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn warm_up(mut self) -> Self {
        warm_up(self.source.settings());
        self
    }

    /// Sets how the worker gets the privilege that tracing requires, if this process does not have it.
    ///
    /// sudo(8), doas(1)… start the installed program [`dtrace-worker`](crate::elevation::INSTALLED_WORKERS),
    /// or the one that [`worker`](Session::worker) names, with the argument `serve`. It refuses everything
    /// that would give this user more than tracing; [`crate::serve`] documents the rules. The traced command
    /// and commands of `system()` stay unprivileged, because this process starts them.
    pub fn elevation(mut self, elevation: Elevation) -> Self {
        self.source.settings().access.elevation = elevation;
        self
    }
}
