//! What the examples, tests and benches share.

pub mod ipc_benchmark;
pub mod live;
