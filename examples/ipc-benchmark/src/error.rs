//! Why does a benchmark fail?

use std::process::ExitStatus;
use std::{fmt, io};

/// Why a benchmark has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The sizes or counts of the configuration are invalid, for the reason given.
    Configuration(String),
    /// A system call failed.
    Io {
        /// What was attempted, to be read after "cannot".
        attempted: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The number of bytes that arrived is wrong.
    Size {
        /// Bytes that should have been transferred.
        expected: u64,
        /// Bytes that were written, if the sending end reported it.
        sent: Option<u64>,
        /// Bytes that were read.
        received: u64,
    },
    /// The sending process of mode 2proc ended before it had sent everything. It writes the reason to
    /// standard error.
    SendingProcess(ExitStatus),
    /// The sending thread of mode 2thread panicked.
    SendingThread,
}

impl Error {
    /// Makes an [`Error::Io`].
    pub(super) fn io(attempted: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { attempted: attempted.into(), source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(why) => f.write_str(why),
            Self::Io { attempted, source } => write!(f, "cannot {attempted}: {source}"),
            Self::Size { expected, sent: Some(sent), received } => {
                write!(f, "expected {expected} bytes, but {sent} were sent and {received} received")
            }
            Self::Size { expected, sent: None, received } => {
                write!(f, "expected {expected} bytes, but {received} were received")
            }
            Self::SendingProcess(status) => {
                write!(f, "the sending process failed ({status})")
            }
            Self::SendingThread => f.write_str("the sending thread panicked"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
