//! How does a process know that it was started as a worker?
//!
//! By an environment variable, which names the version of the protocol and the worker's channel.
//! Other processes may inherit the variable: a worker whose libraries have started threads cannot
//! remove it before it starts programs. Those programs do not have the channel.

use std::ffi::OsStr;

/// Environment variable of a worker process.
pub(crate) const MARKER: &str = "DTRACE_CONSUMER_WORKER";

/// The version of the protocol between the two sides.
const PROTOCOL: &str = "1";

/// The exit status of a process that was started as a worker and refuses to be one.
pub(crate) const REFUSED: i32 = 76;

/// Returns the value of [`MARKER`] for a worker whose standard input is the channel with this inode.
pub(crate) fn marker_for(channel: u64) -> String {
    format!("{PROTOCOL}:{channel}")
}

/// What a value of [`MARKER`] means for the process that finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The process is the worker.
    Worker,
    /// The variable is for an ancestor of this process.
    Inherited,
    /// The value does not belong to this version. Whoever set it expects a worker, not the program.
    Unknown,
}

/// Returns the meaning of a value of [`MARKER`]. `input` is the inode of the standard input if that is a socket.
pub(crate) fn meaning(value: &OsStr, input: Option<u64>) -> Meaning {
    let channel = value.to_str().and_then(|value| {
        let (version, channel) = value.split_once(':')?;
        (version == PROTOCOL && !channel.starts_with('+')).then(|| channel.parse::<u64>().ok())?
    });
    match channel {
        Some(_) if channel == input => Meaning::Worker,
        Some(_) => Meaning::Inherited,
        None => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_for_the_process_that_has_its_channel() {
        let of = |value: &str, input| meaning(OsStr::new(value), input);
        assert_eq!(of(&marker_for(77), Some(77)), Meaning::Worker);
        assert_eq!(of(&marker_for(77), Some(78)), Meaning::Inherited);
        assert_eq!(of(&marker_for(77), None), Meaning::Inherited);
        for value in
            ["", "1", "1:", ":77", "0:77", "2:77", "11:77", "1:-77", "1:+77", "1:77:", "1:77x"]
        {
            assert_eq!(of(value, Some(77)), Meaning::Unknown, "{value}");
        }
    }
}
