//! What can a recording hold, where does it come from, and how did its session fail?

use std::time::Duration;

use super::wire::{Malformed, Put, Take, Wire};
use crate::data::recording::{Edit, Origin};

/// What a session was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContentsFrame {
    /// Whether the stream has firings.
    pub(crate) firings: bool,
    /// Whether firings have libdtrace's text.
    pub(crate) text: bool,
    /// Whether the stream has the entries that each `printa()` printed.
    pub(crate) printed: bool,
    /// Whether the stream has the text of the aggregations at the end.
    pub(crate) report: bool,
    /// Whether the scripts went through the preprocessor.
    pub(crate) preprocessed: bool,
    /// The name and text of each script.
    pub(crate) scripts: Vec<(String, Vec<u8>)>,
    /// The options that were set.
    pub(crate) options: Vec<(String, Option<String>)>,
}

/// A failure that only the consumer noticed, or caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionFailure {
    /// The worker died.
    WorkerDied { status: String, last_words: String },
    /// The worker did not answer.
    WorkerSilent { last_words: String },
    /// Data were lost, which the session did not permit.
    Lost,
    /// The session was aborted.
    Aborted,
    /// The session was aborted after its deadline.
    Deadline { limit: Duration },
}

impl Wire<'_> for ContentsFrame {
    fn put(&self, b: &mut Vec<u8>) {
        for held in [self.firings, self.text, self.printed, self.report, self.preprocessed] {
            b.put_bool(held);
        }
        b.put_list(self.scripts.iter(), |b, (name, text)| {
            b.put_str(name);
            b.put_bytes(text);
        });
        b.put_list(self.options.iter(), |b, (name, value)| {
            b.put_str(name);
            b.put_option(value.as_deref(), |b, v| b.put_str(v));
        });
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(ContentsFrame {
            firings: t.bool("firings held")?,
            text: t.bool("text held")?,
            printed: t.bool("printed held")?,
            report: t.bool("report held")?,
            preprocessed: t.bool("preprocessed")?,
            scripts: t
                .list("scripts", |t| Ok((t.string("script name")?, t.bytes("script")?.to_vec())))?,
            options: t.list("options", |t| {
                Ok((t.string("option")?, t.option("value", |t| t.string("value"))?))
            })?,
        })
    }
}

impl Wire<'_> for SessionFailure {
    fn put(&self, b: &mut Vec<u8>) {
        match self {
            SessionFailure::WorkerDied { status, last_words } => {
                b.put_u8(1);
                b.put_str(status);
                b.put_str(last_words);
            }
            SessionFailure::WorkerSilent { last_words } => {
                b.put_u8(2);
                b.put_str(last_words);
            }
            SessionFailure::Lost => b.put_u8(3),
            SessionFailure::Aborted => b.put_u8(4),
            SessionFailure::Deadline { limit } => {
                b.put_u8(5);
                b.put_u64(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(match t.u8("cause of the failure")? {
            1 => SessionFailure::WorkerDied {
                status: t.string("status")?,
                last_words: t.string("last words")?,
            },
            2 => SessionFailure::WorkerSilent { last_words: t.string("last words")? },
            3 => SessionFailure::Lost,
            4 => SessionFailure::Aborted,
            5 => SessionFailure::Deadline { limit: Duration::from_nanos(t.u64("deadline")?) },
            _ => return Err(Malformed::new("cause of the failure", "unknown to this version")),
        })
    }
}

impl Wire<'_> for Origin {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.crate_version);
        for time in [self.wall_clock, self.monotonic] {
            b.put_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        b.put_option(self.command.as_ref(), |b, words| {
            b.put_list(words.iter(), |b, word| b.put_str(word));
        });
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Origin {
            crate_version: t.string("crate version")?,
            wall_clock: Duration::from_nanos(t.u64("wall clock")?),
            monotonic: Duration::from_nanos(t.u64("monotonic clock")?),
            command: t.option("command", |t| t.list("command", |t| t.string("word")))?,
        })
    }
}

impl Wire<'_> for Edit {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.what);
        b.put_str(&self.details);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Edit { what: t.string("edit")?, details: t.string("details of the edit")? })
    }
}
