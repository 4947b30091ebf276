//! Pictures of what the lab's examples trace, as SVG.

pub mod command;
pub mod delay;
pub mod heat;
pub mod latency;
pub mod picture;
pub mod sequence;
pub mod sizes;
pub mod states;
pub mod time;
