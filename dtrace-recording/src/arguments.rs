//! Which arguments does the program take?

#[cfg(feature = "live")]
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

/// Makes, shows, replays, cuts and anonymises recordings of D sessions.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 on success; 1 if the recording cannot be read to its end or the result cannot be \
                  written; 2 for wrong usage."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

#[derive(clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Runs a D script and records everything that it delivers. Needs libdtrace, and root to trace.
    #[cfg(feature = "live")]
    Record(Record),
    /// Describes a recording: scripts, system, contents, losses.
    Info {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The recording.
        recording: PathBuf,
    },
    /// Prints what dtrace(1) would print. The recording must have the text of its firings.
    Replay {
        /// Print each event as a line of JSON instead. This needs no recorded text.
        #[arg(long)]
        ndjson: bool,
        /// The recording.
        recording: PathBuf,
    },
    /// Prints a Rust program that reads the recording: a structure for each kind of firing, the types of the
    /// aggregations' keys and values, and closures to complete.
    Stub {
        /// The recording.
        recording: PathBuf,
    },
    /// Copies a part of a recording to a new recording.
    Cut {
        /// Keep what was delivered no earlier than this time after the beginning: 10, 2.5s, 300ms.
        #[arg(long, value_name = "TIME", value_parser = time)]
        from: Option<Duration>,
        /// Keep what was delivered before this time after the beginning.
        #[arg(long, value_name = "TIME", value_parser = time)]
        until: Option<Duration>,
        /// Keep the firings of matching probes, such as 'syscall::open*:entry'. Can be repeated.
        #[arg(long = "probe", value_name = "DESCRIPTION", value_parser = description)]
        probes: Vec<String>,
        /// Leave out the first N of the firings that meet the other conditions.
        #[arg(long, value_name = "N", default_value_t = 0)]
        skip: u64,
        /// Keep at most N firings.
        #[arg(long, value_name = "N")]
        take: Option<u64>,
        #[command(flatten)]
        files: Files,
    },
    /// Renames processes, users, addresses, paths and hosts, and leaves out scripts, command and output.
    Anonymise {
        /// Hide this word in all texts: the name of a host, a user, a program. Can be repeated.
        #[arg(long, value_name = "WORD")]
        hide: Vec<String>,
        #[command(flatten)]
        files: Files,
    },
}

/// What to record. Ctrl-C ends the session with everything that was recorded by then.
#[cfg(feature = "live")]
#[derive(Args)]
pub(crate) struct Record {
    /// Overwrite the recording if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Set an option of libdtrace, such as bufsize=16m. Can be repeated.
    #[arg(short = 'x', value_name = "NAME[=VALUE]")]
    pub(crate) options: Vec<String>,
    /// The file of the D script.
    pub(crate) script: PathBuf,
    /// The new recording.
    pub(crate) output: PathBuf,
    /// The command to trace, after `--`: `$target` in the script. Its end ends the session. Without a command,
    /// exit() or Ctrl-C ends it.
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct Files {
    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// The recording.
    pub(crate) recording: PathBuf,
    /// The new recording.
    pub(crate) output: PathBuf,
}

/// Accepts what may be a probe description, so that another text is wrong usage and not a failure of the cut.
fn description(text: &str) -> Result<String, &'static str> {
    match text.split(':').count() {
        0..=4 => Ok(text.to_owned()),
        _ => Err("a probe description has at most four parts"),
    }
}

/// Parses a time: seconds, or with a unit.
fn time(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "min" => 60.0,
        other => return Err(format!("unknown unit `{other}` (use us, ms, s or min)")),
    };
    let number: f64 =
        number.parse().map_err(|_| "not a time such as 10, 2.5s or 300ms".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}
