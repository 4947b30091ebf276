//! Which rule led to a place?

use std::fmt;

use super::PREFIX_VARIABLE;

/// Where a libdtrace was found or looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The prefix that the caller named.
    Caller,
    /// The prefix that `DTRACE_CONSUMER_PREFIX` names.
    Environment,
    /// The operating system's library.
    System,
    /// A directory `libdtrace` beside the program or above it.
    Program,
    /// The user's data directory.
    UserData,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Caller => f.write_str("named by the caller"),
            Origin::Environment => write!(f, "named by {PREFIX_VARIABLE}"),
            Origin::System => f.write_str("the system's"),
            Origin::Program => f.write_str("beside or above the program"),
            Origin::UserData => f.write_str("in the user's data directory"),
        }
    }
}
