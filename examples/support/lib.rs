//! What do the examples share?

pub mod ipc_benchmark;
pub mod lab;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExample;
