//! What can go wrong in a benchmark.

use std::process::ExitStatus;
use std::{fmt, io};

/// Why there is no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The sizes or counts of the configuration do not fit together; says which and why.
    Configuration(String),
    /// The operating system refused a step.
    Io {
        /// What was attempted, to be read after "cannot".
        attempted: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Not exactly the bytes that were asked for arrived.
    Size {
        /// Bytes that should have been transferred.
        expected: u64,
        /// Bytes that were written, if the sending end lived to tell.
        sent: Option<u64>,
        /// Bytes that were read.
        received: u64,
    },
    /// The sending process of mode 2proc ended without having sent everything; it has said why on
    /// standard error.
    SendingProcess(ExitStatus),
    /// The sending thread of mode 2thread panicked.
    SendingThread,
}

impl Error {
    /// An [`Error::Io`].
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
                write!(f, "of {expected} bytes, {sent} were sent and {received} received")
            }
            Self::Size { expected, sent: None, received } => {
                write!(f, "of {expected} bytes, {received} were received")
            }
            Self::SendingProcess(status) => {
                write!(f, "the sending process did not do its part ({status})")
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
