//! What does a recording say of itself?

use std::time::Duration;

use serde::Serialize;

/// How a recording is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all: the file is the stream of `docs/stream.md`.
    None,
    /// With zstd. Programs such as `zstd -d` convert the file into one without compression.
    #[default]
    Zstd,
}

/// Which program made a recording, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// The version of this crate that recorded the session.
    pub crate_version: String,
    /// The time since 1970 when recording began: what D's `walltimestamp` shows.
    pub wall_clock: Duration,
    /// The time of the monotonic clock at the same moment: what D's `timestamp` shows.
    pub monotonic: Duration,
    /// The traced command and its arguments; `None` if the session traced none, or if it was removed.
    pub command: Option<Vec<String>>,
}

/// A change that was made to a recording after it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Edit {
    /// What was done, such as `cut` or `anonymise`.
    pub what: String,
    /// How.
    pub details: String,
}
