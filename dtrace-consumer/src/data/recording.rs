//! How was a recording made?

use std::time::Duration;

use serde::Serialize;

/// How a recording is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not compressed: the file is the stream that `docs/stream.md` describes.
    None,
    /// Compressed with zstd. `zstd -d` decompresses the file.
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
    /// The traced command and its arguments; `None` if there was none, or if it was removed.
    pub command: Option<Vec<String>>,
}

/// A change that was made to a recording after it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Edit {
    /// What was done: `cut`, `anonymised`, or what another program did.
    pub what: String,
    /// How it was done.
    pub details: String,
}
