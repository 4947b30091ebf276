//! Pictures of what the lab's examples trace, as SVG.

pub mod picture;
