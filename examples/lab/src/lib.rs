//! Pictures of what the lab's examples trace, as SVG.

pub mod picture;
pub mod sequence;
pub mod states;
pub mod time;
