//! Receives what a traced command writes.

use super::session::Session;
use super::traced::Traced;
use crate::decode::consumer::{Consumer, Wants};
use crate::error::callback::CallbackResult;

/// Defines the consumer of each closure.
macro_rules! consumers {
    ($($Closure:ident: $method:ident;)*) => {$(
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct $Closure<F>(F);

        impl<F: FnMut(&[u8]) -> CallbackResult> Consumer for $Closure<F> {
            fn wants(&self) -> Wants {
                Wants::NOTHING
            }

            fn $method(&mut self, line: &[u8]) -> CallbackResult {
                (self.0)(line)
            }
        }
    )*};
}

consumers! {
    CommandStdout: command_stdout;
    CommandStderr: command_stderr;
}

impl<C> Session<Traced, C> {
    /// Keeps what the command writes to its standard output and standard error, instead of letting
    /// it write to those of your program. [`Outcome::output`](crate::Outcome::output) has it, even
    /// if the session failed.
    ///
    /// The first 16 MiB of each stream are kept; [`output_limit`](Session::output_limit) changes
    /// that. The bytes beyond are counted. The command never waits for room.
    ///
    /// A process that the command has started may keep the streams open after the command's end. It
    /// has one second to close them. What it writes later is missing, and
    /// [`CommandOutput::cut_off`](crate::session::CommandOutput::cut_off) is set. Such a process
    /// gets SIGPIPE when it writes.
    ///
    /// A stream that [`configure_command`](Session::configure_command) has set to
    /// [`Stdio::piped`](std::process::Stdio::piped) is kept, too, without this method. Otherwise this
    /// replaces the standard output and standard error that `configure_command` has set. A piped
    /// standard input is empty: nobody writes to it.
    ///
    /// ```no_run
    /// let script = "syscall::openat:entry /pid == $target/ { @[copyinstr(arg1)] = count(); }";
    /// let outcome = dtrace_consumer::run_synchronous(script, ["ls", "-l"])
    ///     .capture_output()
    ///     .walk(|entry| Ok(println!("{} {}", entry.key::<String>(0)?, entry.number()?)))
    ///     .run()?;
    /// let output = outcome.output.unwrap_or_default();
    /// println!("ls wrote {} lines", output.stdout.split(|byte| *byte == b'\n').count());
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn capture_output(mut self) -> Self {
        self.source.traced.output.keep = true;
        self
    }

    /// Limits how much of each stream [`capture_output`](Session::capture_output) keeps, in bytes. It
    /// has no effect where nothing is kept.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.source.traced.output.limit = bytes;
        self
    }

    /// Delivers what the command writes, line by line, to [`Consumer::command_stdout`] and
    /// [`Consumer::command_stderr`], instead of letting it write to the streams of your program.
    /// The closures of [`command_stdout`](Session::command_stdout) and
    /// [`command_stderr`](Session::command_stderr) do not need this. It replaces the standard output
    /// and standard error that [`configure_command`](Session::configure_command) has set.
    pub fn command_lines(mut self) -> Self {
        self.source.traced.output.lines = [true; 2];
        self
    }
}

impl<C: Consumer> Session<Traced, C> {
    /// Calls the closure for each line that the command writes to its standard output, without the
    /// newline. It is called on the session's thread, like all closures. If it is slow, the command
    /// waits when the pipe and a buffer of 1 MiB are full.
    ///
    /// The last line may lack its newline. A line of more than 1 MiB comes in pieces. Lines of the
    /// two streams come in the order in which they are read, which may differ from the order in
    /// which they were written. They have no fixed order relative to what the script records. If
    /// the session fails, the rest of the output is read and discarded.
    /// [`capture_output`](Session::capture_output) explains what happens if a process keeps the
    /// stream open after the command's end.
    ///
    /// ```no_run
    /// let mut warnings = 0;
    /// let script = "proc:::exec-success /progenyof($target)/ { trace(execname); }";
    /// dtrace_consumer::run_synchronous(script, ["make"])
    ///     .command_stdout(|line| Ok(println!("{}", String::from_utf8_lossy(line))))
    ///     .command_stderr(|line| {
    ///         warnings += usize::from(line.windows(7).any(|part| part == b"warning"));
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// println!("{warnings} warnings");
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn command_stdout<F>(mut self, closure: F) -> Session<Traced, (C, CommandStdout<F>)>
    where
        F: FnMut(&[u8]) -> CallbackResult,
    {
        self.source.traced.output.lines[0] = true;
        self.consumer(CommandStdout(closure))
    }

    /// Calls the closure for each line that the command writes to its standard error. See
    /// [`command_stdout`](Session::command_stdout).
    pub fn command_stderr<F>(mut self, closure: F) -> Session<Traced, (C, CommandStderr<F>)>
    where
        F: FnMut(&[u8]) -> CallbackResult,
    {
        self.source.traced.output.lines[1] = true;
        self.consumer(CommandStderr(closure))
    }
}
