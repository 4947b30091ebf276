//! What is worth knowing of one TCP segment?

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// A segment, field by field as the lab's scripts print it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// When it was seen: nanoseconds of D's `timestamp`.
    pub(crate) timestamp: u64,
    /// Whether the command sent or received it. On a connection with itself it does both.
    pub(crate) direction: Direction,
    /// The port that it comes from.
    pub(crate) source: u16,
    /// The port that it goes to.
    pub(crate) destination: u16,
    /// The sequence number of its first byte of data.
    pub(crate) seq: u32,
    /// The sequence number that its sender expects next.
    pub(crate) ack: u32,
    /// How many bytes of data it carries. The kernel hands large pieces to the network card, or to the
    /// loopback device, which may be more than fits into one packet on a wire.
    pub(crate) length: u32,
    /// The control bits of its header.
    pub(crate) flags: Flags,
    /// The state of the connection at the end that sends or receives it, at that moment.
    pub(crate) state: String,
}

/// Which way a segment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// It was sent.
    Send,
    /// It was received.
    Receive,
}

/// The control bits of a TCP header. In JSON they are their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String")]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| name)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.names().collect::<Vec<_>>().join(" "))
    }
}

impl From<Flags> for String {
    fn from(flags: Flags) -> String {
        flags.to_string()
    }
}

/// Writes segments as a table, with times in microseconds since the first one.
pub(crate) fn write_table(segments: &[Segment], mut out: impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>10} {:7} {:>5}    {:<5} {:>10} {:>10} {:>6} {:11} state",
        "time/us", "", "from", "to", "seq", "ack", "length", "flags"
    )?;
    let start = segments.first().map_or(0, |first| first.timestamp);
    for s in segments {
        let time = (s.timestamp - start) / 1000;
        let direction = match s.direction {
            Direction::Send => "send",
            Direction::Receive => "receive",
        };
        writeln!(
            out,
            "{time:>10} {direction:7} {:>5} -> {:<5} {:>10} {:>10} {:>6} {:11} {}",
            s.source, s.destination, s.seq, s.ack, s.length, s.flags, s.state
        )?;
    }
    Ok(())
}
