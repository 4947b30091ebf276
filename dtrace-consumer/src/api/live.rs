//! Sets up live tracing, and queries about its scripts.

use std::path::PathBuf;

use super::command::IntoCommand;
use super::query::{ProbeQuery, Query};
use super::session::Session;
use crate::client::admit::admitted;
use crate::client::advise::advised;
use crate::client::inquiry;
use crate::client::settings::Settings;
use crate::data::script::Script;
use crate::data::session_info::ProgramInfo;
use crate::error::Error;
use crate::stream::compile_flags::ZERO_MATCHES;
use crate::stream::job::Purpose;

/// Live tracing, until the script calls `exit()` or the session is stopped. Created by [`trace`].
#[derive(Debug)]
pub struct Live {
    pub(super) settings: Settings,
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

impl<C> Session<Live, C> {
    /// Starts a process to trace, as `dtrace -c` does. Your program starts it, so it runs as it
    /// would without tracing, and holds it until tracing is on. The first created process is
    /// `$target`. The session ends with the last process that was created or grabbed. If it ends
    /// for another reason, such as `exit()` in the script, created processes that still run are
    /// killed. Call this several times for several processes.
    ///
    /// The differences from [`command`](Session::command):
    ///
    /// - It is held at its `main`, so the script sees nothing that it does before. The option
    ///   `evaltime` changes that: `exec` holds it before its first instruction, `preinit` and
    ///   `postinit` at the program's entry point, after the constructors of its libraries.
    /// - It is killed when the session ends.
    /// - Its end is an event for [`on_process`](Session::on_process).
    ///
    /// ```no_run
    /// let script = "syscall::write:entry /progenyof($target)/ { @[execname] = sum(arg2); }";
    /// dtrace_consumer::trace(script)
    ///     .create(["make", "-j8"])
    ///     .walk(|entry| Ok(println!("{} {}", entry.key::<String>(0)?, entry.number()?)))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn create(self, command: impl IntoCommand) -> Self {
        self.source.settings.created.add(command.into_command());
        self
    }

    /// Compiles the scripts without tracing, for editors and tests. Returns for each script what it matches
    /// and how stable it is.
    ///
    /// # Errors
    /// [`Error::Compile`] if a script does not compile; otherwise the same as for a session.
    pub fn check(mut self) -> Result<Vec<ProgramInfo>, Error> {
        let settings = admitted(&mut self.source.settings)?;
        inquiry::check(settings).map_err(|error| advised(&settings, None, error))
    }

    /// Creates a query for the probes that the scripts' clauses match.
    ///
    /// ```no_run
    /// for listed in dtrace_consumer::trace("syscall::open*:entry").matched_probes().list()? {
    ///     println!("{}", listed.probe);
    /// }
    /// # Ok::<(), dtrace_consumer::Error>(())
    /// ```
    pub fn matched_probes(self) -> ProbeQuery {
        Query::of_scripts(self.source.settings)
    }

    /// Returns the C header of the providers that the scripts define, as `dtrace -h` writes it
    /// (`dtrace_program_header`). The file name `name` determines its include guard.
    ///
    /// ```no_run
    /// let script = "provider shop { probe sale(int item, char *customer); };";
    /// let header = dtrace_consumer::trace(script).header("shop.h")?;
    /// std::fs::write("shop.h", header)?; // has the macro SHOP_SALE
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same as those of [`check`](Session::check).
    pub fn header(mut self, name: &str) -> Result<Vec<u8>, Error> {
        self.source.settings.compile_flags |= ZERO_MATCHES;
        let settings = admitted(&mut self.source.settings)?;
        inquiry::text(settings, Purpose::Header { name: name.to_owned() })
    }

    /// Writes the object file to link a program with probes with, as `dtrace -G` does
    /// (`dtrace_program_link`). `objects` are all object files of the program that fire probes. They are
    /// **modified in place**, once: link them afterwards, together with the file that this writes. Requires
    /// the system's `ld`.
    ///
    /// # Errors
    /// [`Error::Script`] unless there is exactly one script, [`Error::Libdtrace`] if an object is unusable;
    /// otherwise the same as those of [`check`](Session::check).
    pub fn link<P: Into<PathBuf>>(
        mut self,
        output: impl Into<PathBuf>,
        objects: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        if self.source.settings.scripts.len() != 1 {
            let script = self
                .source
                .settings
                .scripts
                .get(1)
                .map_or("", |script: &Script| &script.name)
                .to_owned();
            let reason = "linking requires exactly one script".to_owned();
            return Err(Error::Script { script, reason });
        }
        self.source.settings.compile_flags |= ZERO_MATCHES;
        let objects = objects.into_iter().map(Into::into).collect();
        let purpose = Purpose::Link { output: output.into(), objects };
        inquiry::text(admitted(&mut self.source.settings)?, purpose).map(drop)
    }
}
