//! What can go wrong, and what is known when it does?

pub(crate) mod callback;
pub(crate) mod compile;
pub(crate) mod elevation;
pub(crate) mod explain;
pub(crate) mod failure;
pub(crate) mod unavailable;

use std::io;
use std::path::PathBuf;

pub use self::callback::{CallbackError, CallbackResult};
pub use self::compile::CompileError;
pub use self::elevation::ElevationProblem;
pub use self::failure::Failure;
pub use self::unavailable::{Check, Unavailable};
use crate::data::loss::Losses;
use crate::records::rows::RowError;
pub use crate::stream::wire::Malformed;

/// Why a session could not begin or did not come to its end.
///
/// The text of an error is complete: it includes what caused the error, so [`source`](std::error::Error::source)
/// returns nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Tracing is not possible here; says what is missing and how to get it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),

    /// A script did not compile.
    #[error(transparent)]
    Compile(Box<CompileError>),

    /// A script cannot be handed to the compiler.
    #[error("the script {script}: {reason}")]
    Script {
        /// The script's name.
        script: String,
        /// What is wrong with it.
        reason: String,
    },

    /// An option does not exist, or not with this value, or must not be set.
    #[error("option {name}{}: {reason}", .value.as_deref().map(|v| format!("={v}")).unwrap_or_default())]
    Option {
        /// The option.
        name: String,
        /// The value given.
        value: Option<String>,
        /// libdtrace's words, or why this crate refuses it.
        reason: String,
    },

    /// The command to trace could not be started.
    #[error("cannot start {program}: {cause}")]
    Command {
        /// The program named.
        program: String,
        /// The system's answer.
        cause: io::Error,
    },

    /// libdtrace cannot start a process, or take hold of one.
    #[error("cannot {attempt}: {message}")]
    Process {
        /// What was tried, as `start /bin/false` or `take hold of process 42`.
        attempt: String,
        /// libdtrace's number; below 1000 it is errno.
        number: i32,
        /// libdtrace's words, which are the same for a program that does not exist and for a process
        /// that another one traces.
        message: String,
    },

    /// A call into libdtrace failed.
    #[error("{call} failed: {message}{}", .advice.map(|a| format!(" ({a})")).unwrap_or_default())]
    Libdtrace {
        /// libdtrace's function.
        call: String,
        /// libdtrace's number; below 1000 it is errno.
        number: i32,
        /// libdtrace's words.
        message: String,
        /// What usually helps, where libdtrace's words mislead.
        advice: Option<&'static str>,
    },

    /// The kernel refuses a probe that the script matches, or the program that libdtrace made for it;
    /// then nothing is traced. Patterns of `fbt` match functions that cannot be probed: match fewer.
    #[error("dtrace_go failed: {message} (nothing is traced; let no pattern match {probe})")]
    Enable {
        /// The probe: provider, module, function and name.
        probe: String,
        /// libdtrace's number; below 1000 it is errno.
        number: i32,
        /// libdtrace's words.
        message: String,
    },

    /// The worker process could not be started.
    #[error("cannot start the worker process {program}: {reason}")]
    WorkerStart {
        /// The program that was to be the worker.
        program: PathBuf,
        /// Why, and what to do.
        reason: String,
    },

    /// The program that was to give the worker its privilege did not start it.
    #[error("{program} {problem}{}\n{remedy}", after_a_colon(.said))]
    Elevation {
        /// The program, as `sudo`.
        program: String,
        /// What kept it from doing so.
        problem: ElevationProblem,
        /// What it wrote to its standard error.
        said: String,
        /// What to do.
        remedy: String,
    },

    /// An elevated worker does not do what was asked of it for this user.
    #[error("the elevated worker refuses {what}: {reason}")]
    Refused {
        /// What was asked: an option by its name, `process 1`…
        what: String,
        /// Why not, and what an administrator can do about it.
        reason: String,
    },

    /// The worker process ended in the middle of the session.
    #[error("the worker process {status} in the middle of the session{}", after_a_semicolon(.last_words))]
    WorkerDied {
        /// How it ended: exit status or signal.
        status: String,
        /// The end of what it, or libdtrace in it, wrote to its standard error.
        last_words: String,
    },

    /// The worker process said nothing for longer than
    /// [`silence_limit`](crate::Session::silence_limit) where it should have, and was killed: libdtrace
    /// is stuck, or something has stopped the process.
    #[error(
        "the worker process does not answer, and was killed; it was stopped by somebody, libdtrace \
         is stuck, or the machine needs a longer `silence_limit`{}",
        after_a_semicolon(.last_words)
    )]
    WorkerSilent {
        /// The end of what it, or libdtrace in it, wrote to its standard error.
        last_words: String,
    },

    /// The stream or recording is damaged.
    #[error("the stream is damaged at byte {position}: {cause}")]
    Stream {
        /// Bytes from its beginning to the damaged frame.
        position: u64,
        /// What is wrong there.
        cause: Malformed,
    },

    /// A recording cannot be read or written.
    #[error("recording {}: {cause}", .path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },

    /// What was to be replayed is no recording.
    #[error("{name} is not a recording: {reason}")]
    NotARecording {
        /// The file, or a word for another source.
        name: String,
        /// What it has instead of a recording's beginning.
        reason: &'static str,
    },

    /// A recording was made by a later version of this crate, in a format that this one cannot read.
    #[error(
        "{name}: its format has version {found}, this version of the crate reads up to \
         {supported}; replay it with the version that made it or a later one"
    )]
    RecordingVersion {
        /// The file, or a word for another source.
        name: String,
        /// The version of its format.
        found: u16,
        /// The latest version that can be read.
        supported: u16,
    },

    /// A handler returned an error.
    #[error("the {closure} handler failed: {}", callback::with_sources(&**cause))]
    Callback {
        /// Which: `walk`, `out`, `chew`, `chewrec`, `rows`…
        closure: &'static str,
        /// Its error.
        cause: CallbackError,
    },

    /// A handler panicked.
    #[error("the {closure} handler panicked: {message}")]
    Panicked {
        /// Which: `walk`, `out`, `chew`, `chewrec`, `rows`…
        closure: &'static str,
        /// The panic's message.
        message: String,
    },

    /// A firing or an aggregation's entry does not fit the type of a `rows` or `walk_rows` closure.
    #[error("the row of {of} does not fit its type: {cause}")]
    Row {
        /// The probe that fired, or the aggregation with its `@`.
        of: String,
        /// What does not fit.
        cause: RowError,
    },

    /// Something was lost, and the session was told to fail in that case.
    #[error("data were lost: {0}")]
    Lost(Losses),

    /// The system refused something that the session needs.
    #[error("{attempt}: {cause}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
}

fn after_a_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn after_a_semicolon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; its last words: {words}") }
}
