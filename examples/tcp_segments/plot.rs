//! How do the lab's segments become a picture?

use std::error::Error;
use std::path::Path;

use crate::segment::Segment;

/// Whether this build can draw.
pub(crate) const AVAILABLE: bool = cfg!(feature = "plot");

pub(crate) const UNAVAILABLE: &str =
    "this build has no pictures (use `cargo run --features plot --example tcp_segments`)";

/// Draws the time-sequence graph.
#[cfg(not(feature = "plot"))]
pub(crate) fn draw(_: &[Segment], _: &Path) -> Result<(), Box<dyn Error>> {
    Err(UNAVAILABLE.into())
}

/// Draws the time-sequence graph.
#[cfg(feature = "plot")]
pub(crate) fn draw(segments: &[Segment], file: &Path) -> Result<(), Box<dyn Error>> {
    let segments: Vec<_> = segments.iter().map(point).collect();
    Ok(dtrace_lab::sequence::draw(&segments)?.save(file)?)
}

#[cfg(feature = "plot")]
fn point(segment: &Segment) -> dtrace_lab::sequence::Segment {
    let has = |flag| segment.flags.has(flag);
    dtrace_lab::sequence::Segment {
        time: segment.timestamp,
        sent: segment.direction == crate::segment::Direction::Send,
        from: segment.source,
        to: segment.destination,
        seq: segment.seq,
        ack: segment.ack,
        length: segment.length,
        begins: has("SYN"),
        ends: has("FIN"),
        acknowledges: has("ACK"),
    }
}
