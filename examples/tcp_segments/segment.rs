//! What does the lab record about a TCP segment?

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// A segment, with the fields in the order in which the scripts print them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// The time when it was seen: D's `timestamp`, in nanoseconds.
    pub(crate) timestamp: u64,
    /// Whether the command sent or received it. On a connection to itself it does both.
    pub(crate) direction: Direction,
    /// The source port.
    pub(crate) source: u16,
    /// The destination port.
    pub(crate) destination: u16,
    /// The sequence number of its first byte of data.
    pub(crate) seq: u32,
    /// The sequence number that its sender expects next.
    pub(crate) ack: u32,
    /// The number of bytes of data that it carries. The kernel may pass larger pieces to the network card
    /// or the loopback device than fit into one packet on the wire.
    pub(crate) length: u32,
    /// The control bits of its header.
    pub(crate) flags: Flags,
    /// The state of the connection at that moment, at the end that sends or receives the segment.
    pub(crate) state: String,
}

/// The direction of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// It was sent.
    Send,
    /// It was received.
    Receive,
}

/// The control bits of a TCP header. JSON has their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String")]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

    /// Whether it has the bit with this name.
    #[cfg(feature = "plot")]
    pub(crate) fn has(self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }

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
