//! The errors of sessions.

pub(crate) mod callback;
pub(crate) mod compile;
pub(crate) mod elevation;
pub(crate) mod explain;
pub(crate) mod failure;
mod kind;
mod stray;
pub(crate) mod unavailable;
mod untraced;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::callback::{CallbackError, CallbackResult};
pub use self::compile::CompileError;
pub use self::elevation::ElevationProblem;
pub use self::failure::Failure;
pub use self::unavailable::{Check, Unavailable};
use crate::data::debug::debug_as_text;
use crate::data::loss::Losses;
use crate::data::session_info::ByteOrder;
use crate::records::row_error::RowError;
pub use crate::stream::wire::Malformed;

/// Why a session did not start or complete.
///
/// The text of an error includes its cause, so [`source`](std::error::Error::source) returns nothing.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Tracing is not possible here. Lists what is missing and how to get it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),

    /// A script did not compile.
    #[error(transparent)]
    Compile(Box<CompileError>),

    /// A script was not passed to the compiler.
    #[error("cannot use the script {script}: {reason}")]
    Script {
        /// The script's name.
        script: String,
        /// Why.
        reason: String,
    },

    /// An option does not exist, does not accept the value, or must not be set.
    #[error("cannot set option {name}{}: {reason}", .value.as_deref().map(|v| format!("={v}")).unwrap_or_default())]
    Option {
        /// The option.
        name: String,
        /// The given value.
        value: Option<String>,
        /// libdtrace's message, or why this crate refuses the option.
        reason: String,
    },

    /// The command to trace did not start.
    #[error("cannot start {}: {cause}", the_command(.program))]
    Command {
        /// The program; empty if no command was given.
        program: String,
        /// The system's error, or what is wrong with the command (`InvalidInput`).
        cause: io::Error,
    },

    /// libdtrace failed to start or grab a process.
    #[error("cannot {attempt}: {message}{}", in_parentheses(.advice.as_deref()))]
    Process {
        /// What was attempted, such as `start /bin/false` or `grab process 42`.
        attempt: String,
        /// libdtrace's error number; below 1000 it is errno.
        number: i32,
        /// libdtrace's message. It is the same for a program that does not exist and for a process that
        /// another one traces.
        message: String,
        /// The cause, if it is known.
        advice: Option<String>,
    },

    /// A call into libdtrace failed.
    #[error("{call} failed: {message}{}", in_parentheses(.advice.as_deref()))]
    Libdtrace {
        /// libdtrace's function, or another step of the worker.
        call: String,
        /// libdtrace's error number; below 1000 it is errno.
        number: i32,
        /// libdtrace's message.
        message: String,
        /// What to do, where libdtrace's message does not tell it.
        advice: Option<String>,
    },

    /// The kernel refused a probe that the script matches, or the program that libdtrace generated for it.
    /// Nothing is traced. Patterns of `fbt` can match functions that the kernel does not allow to be probed:
    /// exclude them. The kernel also refuses probes if the worker may not open enough files.
    #[error("the kernel refused the probe {probe}: {message}{}", in_parentheses(.advice.as_deref()))]
    Enable {
        /// The probe: provider, module, function and name.
        probe: String,
        /// libdtrace's error number; below 1000 it is errno.
        number: i32,
        /// libdtrace's message.
        message: String,
        /// What to do, if it is known.
        advice: Option<String>,
    },

    /// libdtrace enabled all probes, but `BEGIN` did not fire. No other probe fires before it, so the session
    /// would never deliver anything.
    #[error(
        "tracing did not begin: libdtrace enabled the probes, but BEGIN did not fire, so no other probe ever \
         will (check that the kernel's uprobes work, and that libdtrace is on a file system that \
         supports them; if so, use another build of libdtrace)"
    )]
    NotBegun,

    /// The version of the elevated worker's libdtrace is not known, and no administrator has verified the library on
    /// this kernel. The worker runs no self-check for a user.
    #[error("{library} is not verified: {reason}")]
    NotVerified {
        /// The library, with its version.
        library: String,
        /// Why, and what to do.
        reason: String,
    },

    /// The worker process did not start.
    #[error("cannot start the worker process {program}: {reason}")]
    WorkerStart {
        /// The worker's program.
        program: PathBuf,
        /// Why, and what to do.
        reason: String,
    },

    /// The program that grants privilege did not start the worker.
    #[error("{program} {problem}{}\n{remedy}", after_a_colon(.said))]
    Elevation {
        /// The program, such as `sudo`.
        program: String,
        /// The reason.
        problem: ElevationProblem,
        /// What it wrote to its standard error.
        said: String,
        /// What to do.
        remedy: String,
    },

    /// An elevated worker refused a request of this user.
    #[error("the elevated worker refuses {what}: {reason}")]
    Refused {
        /// What was requested: an option by its name, `process 1`…
        what: String,
        /// The reason, and what an administrator can do about it.
        reason: String,
    },

    /// The session did not start, and a limit of this process explains why. A worker has the limits of the
    /// process that starts it.
    #[error("{cause}; the limit on {limit} is {value}, which is too low ({remedy})")]
    Limit {
        /// The limit, such as `open files (RLIMIT_NOFILE)`.
        limit: &'static str,
        /// Its value.
        value: String,
        /// What a session needs, and how to raise the limit.
        remedy: String,
        /// The failure that the limit explains.
        cause: Box<Error>,
    },

    /// The worker process died during the session.
    #[error("the worker process {status} during the session{}", after_a_semicolon(.last_words))]
    WorkerDied {
        /// How it died: exit status or signal.
        status: String,
        /// The last lines that it, or libdtrace in it, wrote to its standard error.
        last_words: String,
    },

    /// The worker process did not answer within [`silence_limit`](crate::Session::silence_limit) and was
    /// killed. libdtrace hangs, or something stopped the process.
    #[error(
        "the worker process did not answer and was killed: it was stopped, libdtrace hangs, or the \
         machine is slow (raise `silence_limit`){}",
        after_a_semicolon(.last_words)
    )]
    WorkerSilent {
        /// The last lines that it, or libdtrace in it, wrote to its standard error.
        last_words: String,
    },

    /// The session was aborted with [`StopHandle::abort`](crate::StopHandle::abort). What had not been
    /// delivered was discarded.
    #[error("the session was aborted")]
    Aborted,

    /// The session did not end in good order within five seconds of its
    /// [`deadline`](crate::Session::deadline), and was aborted. What had not been delivered was discarded.
    #[error(
        "the session did not end within 5 s of its deadline of {limit:?} and was aborted (if it had not \
         started, allow more time; otherwise the rest took too long to deliver)"
    )]
    Deadline {
        /// The deadline, from the call that started the session.
        limit: Duration,
    },

    /// The stream or recording is damaged.
    #[error("{} is damaged at byte {position}: {cause}", .name.as_deref().unwrap_or("the stream"))]
    Stream {
        /// The file; `None` if the data do not come from a file.
        name: Option<String>,
        /// Offset of the damaged frame, in bytes.
        position: u64,
        /// What is wrong with it.
        cause: Malformed,
    },

    /// Reading or writing a recording failed.
    #[error("cannot read or write the recording {}: {cause}", .path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },

    /// The data to replay are not a recording.
    #[error("{name} is not a recording: {reason}")]
    NotARecording {
        /// The file, or a description of another source.
        name: String,
        /// Why.
        reason: &'static str,
    },

    /// Another version of this crate made the recording, in a format that this version does not read.
    #[error(
        "cannot read {name}: its format has version {found}, and this version of the crate reads only version \
         {supported} (use the version of the crate that recorded it, or record a new session)"
    )]
    RecordingVersion {
        /// The file, or a description of another source.
        name: String,
        /// The version of its format.
        found: u16,
        /// The version that this crate reads.
        supported: u16,
    },

    /// The recording was made on a machine with the other byte order. Traced data are recorded as the kernel wrote
    /// them.
    #[error(
        "cannot replay {name}: its data are {found}, this machine is {} (replay it on a {found} machine)",
        ByteOrder::OWN
    )]
    RecordingByteOrder {
        /// The file, or a description of another source.
        name: String,
        /// The byte order of its data.
        found: ByteOrder,
    },

    /// The recording lacks what a handler needs, because its session did not record it.
    #[error(
        "{} has no {what}, which {wanted_by} needs ({remedy})",
        .name.as_deref().unwrap_or("the recording")
    )]
    NotRecorded {
        /// The file; `None` if the data do not come from a file.
        name: Option<String>,
        /// What it lacks: `text`, `firings`…
        what: &'static str,
        /// The handler or setting that needs it.
        wanted_by: &'static str,
        /// How to record it.
        remedy: &'static str,
    },

    /// A setting has an invalid value.
    #[error("cannot use {setting}: {reason}")]
    Setting {
        /// The method with its argument, such as `walk_every(0ns)`.
        setting: String,
        /// Why, and what to do.
        reason: &'static str,
    },

    /// A handler returned an error.
    #[error("the {closure} handler failed: {}", callback::with_sources(&**cause))]
    Callback {
        /// The handler: `walk`, `out`, `chew`, `chewrec`, `rows`…
        closure: &'static str,
        /// Its error.
        cause: CallbackError,
    },

    /// A handler panicked.
    #[error("the {closure} handler panicked: {message}")]
    Panicked {
        /// The handler: `walk`, `out`, `chew`, `chewrec`, `rows`…
        closure: &'static str,
        /// The panic's message.
        message: String,
    },

    /// A firing or an entry of an aggregation does not fit the type of a `rows` or `walk_rows` closure.
    #[error(transparent)]
    Row(RowError),

    /// Data were lost, and the session's loss policy is to fail.
    #[error("data were lost: {0}")]
    Lost(Losses),

    /// The system refused something that the session needs.
    #[error("cannot {attempt}: {cause}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// The system's error.
        cause: io::Error,
    },
}

debug_as_text! {
    enum Error {
        Unavailable(cause),
        Compile(cause),
        Script { script, reason },
        Option { name, value, reason },
        Command { program, cause },
        Process { attempt, number, message, advice },
        Libdtrace { call, number, message, advice },
        Enable { probe, number, message, advice },
        WorkerStart { program, reason },
        Elevation { program, problem, said, remedy },
        Refused { what, reason },
        Limit { limit, value, remedy, cause },
        WorkerDied { status, last_words },
        WorkerSilent { last_words },
        Deadline { limit },
        Stream { name, position, cause },
        Recording { path, cause },
        NotARecording { name, reason },
        RecordingVersion { name, found, supported },
        RecordingByteOrder { name, found },
        NotRecorded { name, what, wanted_by, remedy },
        Setting { setting, reason },
        Callback { closure, cause },
        Panicked { closure, message },
        Row(cause),
        Lost(cause),
        System { attempt, cause },
        NotVerified { library, reason },
        NotBegun,
        Aborted,
    }
}

impl Error {
    /// Returns the error for a frame that is invalid, without the name of a file.
    pub(crate) fn damage(position: u64, cause: Malformed) -> Error {
        Error::Stream { name: None, position, cause }
    }
}

fn the_command(program: &str) -> &str {
    if program.is_empty() { "a command" } else { program }
}

fn in_parentheses(advice: Option<&str>) -> String {
    advice.map(|advice| format!(" ({advice})")).unwrap_or_default()
}

fn after_a_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn after_a_semicolon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; its last output: {words}") }
}
