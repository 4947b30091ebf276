//! Code that examples, tests and benches share.

pub mod dtrace1;
pub mod live;
pub mod programs;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExample;
