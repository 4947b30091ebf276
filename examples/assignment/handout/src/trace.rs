//! What was traced, and of what do answers consist? Given: you need not change this file.
//!
//! The same closures read the recording and, with the feature `live`, the running kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use dtrace_consumer::loss::LossPolicy;
use dtrace_consumer::session::Source;
use dtrace_consumer::{Error, Session};

/// Everything that the script `tcp.d` recorded.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The segments that both ends of all connections sent, **in the order in which they arrived** from the
    /// kernel. Each CPU has its own buffer, and the buffers are read one after the other.
    pub segments: Vec<Segment>,
    /// How often the command made each system call after its first listen or connect.
    pub system_calls: BTreeMap<String, i64>,
}

/// A segment that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The time when it was sent, in nanoseconds.
    pub timestamp: u64,
    /// The port of the sender.
    pub source: u16,
    /// The port of the receiver.
    pub destination: u16,
    /// The sequence number of its first byte.
    pub seq: u32,
    /// The sequence number that its sender expects next.
    pub ack: u32,
    /// The number of bytes of data in it.
    pub length: u32,
    /// The control bits of its header, such as [`SYN`].
    pub flags: u8,
    /// The state of the sender's end of the connection when it was sent.
    pub state: String,
    /// The CPU that sent it.
    pub cpu: u32,
}

/// The sender has no more data.
pub const FIN: u8 = 1;
/// The sender opens the connection.
pub const SYN: u8 = 2;
/// The field `ack` is valid.
pub const ACK: u8 = 16;

impl Segment {
    /// Returns whether it has one of these control bits.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Returns the end of a connection that sent it.
    pub fn end(&self) -> End {
        End { local: self.source, peer: self.destination }
    }

    /// Returns how many sequence numbers it takes: one for each byte of data, one for SYN, one for FIN.
    pub fn span(&self) -> u32 {
        // A length of almost 2^32 is invalid, but a damaged recording may have it.
        let flags = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.length.saturating_add(flags)
    }
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// Its port.
    pub local: u16,
    /// The port of the other end.
    pub peer: u16,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.peer)
    }
}

/// What an end of a connection has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The number of segments.
    pub segments: u64,
    /// The number of bytes of data in them, including those that were sent again.
    pub bytes: u64,
}

/// A state of an end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The state, as in [`Segment::state`].
    pub state: String,
    /// The time in nanoseconds from the first segment in this state to the first one in the next state; `None`
    /// for the last state.
    pub nanoseconds: Option<u64>,
}

/// Reads a recording.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read(recording: &Path) -> Result<Trace, String> {
    let name = recording.display();
    let another =
        "it is a recording of another script than tcp.d; copy recordings/ again from the handout";
    let (trace, result) = collect(dtrace_consumer::replay(recording));
    match result {
        Err(Error::Callback { cause, .. }) => {
            Err(format!("cannot use {name}: {cause} ({another})"))
        }
        Err(error) => Err(format!(
            "cannot read the recording {name}: {error} (copy recordings/ again from the handout; if that does not \
             help, ask your lecturer)"
        )),
        Ok(()) if trace.segments.is_empty() => {
            Err(format!("cannot use {name}: there are no segments in it ({another})"))
        }
        Ok(()) => Ok(trace),
    }
}

/// Traces a command.
///
/// # Errors
/// Why it cannot be traced, and what to do.
#[cfg(feature = "live")]
pub fn live(command: &[String]) -> Result<Trace, String> {
    let session = dtrace_consumer::run_synchronous(include_str!("../tcp.d"), command);
    let (trace, result) = collect(session);
    result.map(|()| trace).map_err(|error| error.to_string())
}

fn collect<S: Source>(session: Session<S>) -> (Trace, Result<(), Error>) {
    let mut trace = Trace::default();
    let result = session
        .losses(LossPolicy::Count) // they are reported below, once
        .chew(|firing| {
            if firing.data_records().next().is_none() {
                return Ok(()); // a clause that records nothing, such as one with `exit()`
            }
            trace.segments.push(Segment {
                timestamp: firing.get("timestamp")?,
                source: firing.get("source")?,
                destination: firing.get("destination")?,
                seq: firing.get("seq")?,
                ack: firing.get("ack")?,
                length: firing.get("length")?,
                flags: firing.get("flags")?,
                state: firing.get("state")?,
                cpu: firing.cpu(),
            });
            Ok(())
        })
        .walk(|entry| {
            trace.system_calls.insert(entry.key(0)?, entry.number()?);
            Ok(())
        })
        .run();
    if let Ok(outcome) = &result
        && !outcome.losses.is_empty()
    {
        eprintln!("the trace lacks records, so an answer may be wrong: {}", outcome.losses);
    }
    (trace, result.map(|_| ()).map_err(|failure| failure.error))
}
