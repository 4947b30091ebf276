//! How does a process know that it was started as a worker?

/// Environment variable of a worker process. Its value is the version of the protocol between the two sides.
pub(crate) const MARKER: &str = "DTRACE_CONSUMER_WORKER";

/// The value of [`MARKER`] for this version of the crate.
pub(crate) const MARKER_VALUE: &str = "1";
