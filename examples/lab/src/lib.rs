//! What the examples of the lab share: pictures of what they trace, as SVG, and what stands around a trace.

pub mod command;
pub mod delay;
pub mod heat;
pub mod latency;
pub mod picture;
pub mod sequence;
pub mod sizes;
pub mod states;
pub mod time;
