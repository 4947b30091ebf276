//! What can go wrong, and what is known when it does?

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::elevation::ElevationProblem;
use crate::loss::Losses;
use crate::outcome::Outcome;
use crate::preflight::Unavailable;
use crate::row::RowError;
use crate::stream::wire::Malformed;

/// What a closure may return as its error: anything that `?` can convert.
pub type CallbackError = Box<dyn StdError + Send + Sync>;

/// What closures return.
pub type CallbackResult = Result<(), CallbackError>;

/// Why a session could not begin or did not come to its end.
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
        #[source]
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
    /// [`silence_limit`](crate::Builder::silence_limit) where it should have, and was killed: libdtrace
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
        #[source]
        cause: Malformed,
    },

    /// A recording cannot be read or written.
    #[error("recording {}: {cause}", .path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
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

    /// A closure returned an error.
    #[error("the {closure} closure: {cause}")]
    Callback {
        /// Which: `walk`, `out`, `chew`, `chewrec` or `rows`.
        closure: &'static str,
        /// Its error.
        #[source]
        cause: CallbackError,
    },

    /// A closure panicked.
    #[error("the {closure} closure panicked: {message}")]
    Panicked {
        /// Which: `walk`, `out`, `chew`, `chewrec` or `rows`.
        closure: &'static str,
        /// The panic's message.
        message: String,
    },

    /// A row does not fit the type of the `rows` closure.
    #[error("a firing of {probe} does not fit the type of the rows: {cause}")]
    Row {
        /// The probe that fired.
        probe: String,
        /// What does not fit.
        #[source]
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
        #[source]
        cause: io::Error,
    },
}

fn after_a_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn after_a_semicolon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; its last words: {words}") }
}

/// A script that did not compile, with the place where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Which of the session's scripts, from 0.
    pub index: usize,
    /// The script's name: its file, or `script`.
    pub script: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The text of that line.
    pub source_line: Option<String>,
    /// Where in that line the compiler's complaint is about, in bytes from 0.
    pub column: Option<usize>,
    /// libdtrace's tag of the error, as `D_SYNTAX`, where it gives one.
    pub tag: Option<String>,
    /// libdtrace's words.
    pub message: String,
    /// Probes that are near to a description that matches none.
    pub similar: Vec<String>,
}

impl CompileError {
    /// Takes libdtrace's message apart: `[D_TAG] line 3: message`, the tag and line as they come.
    pub(crate) fn parse(script: &str, text: &[u8], message: &str) -> CompileError {
        let mut rest = message.trim();
        let mut tag = None;
        if let Some((name, after)) = rest.strip_prefix('[').and_then(|r| r.split_once("] "))
            && name.starts_with("D_")
        {
            tag = Some(name.to_owned());
            rest = after;
        }
        let mut line = None;
        if let Some((number, after)) = rest.strip_prefix("line ").and_then(|r| r.split_once(": "))
            && let Ok(number) = number.parse()
        {
            line = Some(number);
            rest = after;
        }
        let source_line = line.and_then(|n: u32| {
            let line = text.split(|b| *b == b'\n').nth((n as usize).checked_sub(1)?)?;
            Some(String::from_utf8_lossy(line).trim_end().to_owned())
        });
        let column = source_line.as_deref().and_then(|line| culprit(line, rest));
        CompileError {
            index: 0,
            script: script.to_owned(),
            line,
            source_line,
            column,
            tag,
            message: rest.to_owned(),
            similar: Vec::new(),
        }
    }
}

/// Where in a line is what the message names: `… near "x"`, `… : x`, `failed to resolve x`?
fn culprit(line: &str, message: &str) -> Option<usize> {
    // What follows in further lines compares declarations.
    let message = message.lines().next().unwrap_or_default();
    let quoted = message.rsplit('"').nth(1);
    let last = message.rsplit([' ', ':']).find(|w| !w.is_empty());
    let after_resolve = message
        .split_once("failed to resolve ")
        .and_then(|(_, rest)| rest.split([':', ' ']).next());
    [quoted, after_resolve, last].into_iter().flatten().filter(|w| !w.is_empty()).find_map(|word| {
        line.match_indices(word).map(|(at, _)| at).find(|at| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let before = line[..*at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let goes_on = word.starts_with(is_word) && before.is_some_and(is_word)
                || word.ends_with(is_word) && after.is_some_and(is_word);
            !goes_on
        })
    })
}

/// The message, below it the line with a caret under the place, and similar probes if none matched.
impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.script)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some(number), Some(line)) = (self.line, &self.source_line) {
            let margin = number.to_string();
            write!(f, "\n {margin} | {line}")?;
            if let Some(column) = self.column {
                // Tabs stay tabs, so that the caret stands where the terminal puts the character.
                let indent: String = line
                    .chars()
                    .scan(0, |at, c| {
                        let here = *at;
                        *at += c.len_utf8();
                        (here < column).then_some(if c == '\t' { '\t' } else { ' ' })
                    })
                    .collect();
                write!(f, "\n {} | {indent}^", " ".repeat(margin.len()))?;
            }
        }
        if !self.similar.is_empty() {
            write!(f, "\nsimilar: {}", self.similar.join(", "))?;
        }
        Ok(())
    }
}

impl StdError for CompileError {}

/// A session that failed, with everything that it delivered before.
#[derive(Debug)]
pub struct Failure {
    /// Why it failed.
    pub error: Error,
    /// What is known of the session up to then.
    pub outcome: Box<Outcome>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, outcome: Box::default() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        failure.error
    }
}

/// The probe that a failed `dtrace_go` complains of.
pub(crate) fn refused_probe<'m>(call: &str, message: &'m str) -> Option<&'m str> {
    if call != "dtrace_go" {
        return None;
    }
    if let Some(refused) = message.strip_prefix("Failed to enable ") {
        return refused.split_once(": ").map(|(probe, _)| probe);
    }
    let refused = message.strip_prefix("BPF program load for '")?;
    // libdtrace cuts what is before the reason, probe included, at 63 bytes.
    refused.split_once(['\'']).or_else(|| refused.rsplit_once(": ")).map(|(probe, _)| probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_that_the_kernel_refuses_is_found_in_the_message() {
        let probe = "fbt:vmlinux:tcp_shifted_skb:entry";
        let attach = format!("Failed to enable {probe}: Operation not supported");
        let load = format!("BPF program load for '{probe}' failed: Invalid argument");
        let cut = format!("BPF program load for '{probe}' faile: Invalid argument");
        for message in [attach, load, cut] {
            assert_eq!(refused_probe("dtrace_go", &message), Some(probe));
            assert_eq!(refused_probe("dtrace_work", &message), None);
        }
        assert_eq!(refused_probe("dtrace_go", "Too big"), None);
    }

    #[test]
    fn a_compile_error_shows_the_line_with_a_caret() {
        let text = b"BEGIN\n{\n\ttrace(foo(1));\n}\n";
        let error = CompileError::parse("script", text, "line 3: undefined function name: foo");
        assert_eq!(
            error.to_string(),
            "script, line 3: undefined function name: foo\n 3 | \ttrace(foo(1));\n   | \t      ^"
        );
    }

    #[test]
    fn the_tag_of_a_compile_error_is_told_from_its_message() {
        let message = "[D_SYNTAX] line 1: syntax error near \"}\"";
        let error = CompileError::parse("a.d", b"BEGIN { trace( }", message);
        assert_eq!(error.tag.as_deref(), Some("D_SYNTAX"));
        assert_eq!((error.line, error.column), (Some(1), Some(15)));
        assert_eq!(error.message, "syntax error near \"}\"");
    }

    #[test]
    fn a_message_without_a_place_is_kept_whole() {
        let error = CompileError::parse("script", b"x", "probe description a:b:c:d is odd");
        assert_eq!(error.to_string(), "script: probe description a:b:c:d is odd");
    }
}
