//! Your answers. Replace each `todo!()`; README.md has the questions in full.
//!
//! `cargo run` prints the answers, `cargo test` grades them.

use std::collections::BTreeMap;

use crate::trace::{End, Stay, Trace, Traffic};

/// Question 1 (2 points): how many segments, and how many bytes of data, has each end of each connection sent?
pub fn traffic(trace: &Trace) -> BTreeMap<End, Traffic> {
    todo!("count {} segments", trace.segments.len())
}

/// Question 2 (2 points): how many different bytes of data has each end sent, by its sequence numbers?
pub fn sequence(trace: &Trace) -> BTreeMap<End, i64> {
    todo!("look at the sequence numbers of {} segments", trace.segments.len())
}

/// Question 3 (2 points): how many segments of each end are retransmissions?
pub fn retransmissions(trace: &Trace) -> BTreeMap<End, u64> {
    todo!("find what was sent again among {} segments", trace.segments.len())
}

/// Question 4 (2 points): which states does each end pass through, and how long does it stay in each?
pub fn states(trace: &Trace) -> BTreeMap<End, Vec<Stay>> {
    todo!("follow the states of {} segments", trace.segments.len())
}

/// Question 5 (2 points): at which rate does each end send, in bytes per second, rounded down?
pub fn throughput(trace: &Trace) -> BTreeMap<End, i64> {
    todo!("divide bytes by time for {} segments", trace.segments.len())
}

/// Question 6 (1 point): which three system calls does the command make most often, and how often?
pub fn busiest_calls(trace: &Trace) -> Vec<(String, i64)> {
    todo!("sort {} system calls", trace.system_calls.len())
}
