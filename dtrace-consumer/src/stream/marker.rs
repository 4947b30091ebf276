//! By which mark does a process know that it was started as a worker?

/// Set in the environment of a process that is to be a worker; its value is the version of the
/// protocol between the two sides.
pub(crate) const MARKER: &str = "DTRACE_CONSUMER_WORKER";

/// The value of [`MARKER`] for this version of the crate.
pub(crate) const MARKER_VALUE: &str = "1";
