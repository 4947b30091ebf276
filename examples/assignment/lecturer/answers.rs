//! The model solution of the TCP lab. It takes the place of the handout's `src/answers.rs`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::trace::{End, SYN, Segment, Stay, Trace, Traffic};

/// Question 1 (2 points): how many segments, and how many bytes of data, has each end of each connection sent?
pub fn traffic(trace: &Trace) -> BTreeMap<End, Traffic> {
    let count = |segments: &[&Segment]| Traffic {
        segments: segments.len() as u64,
        bytes: segments.iter().map(|segment| u64::from(segment.length)).sum(),
    };
    by_end(trace).into_iter().map(|(end, segments)| (end, count(&segments))).collect()
}

/// Question 2 (2 points): how many different bytes of data has each end sent, by its sequence numbers?
pub fn sequence(trace: &Trace) -> BTreeMap<End, i64> {
    by_end(trace).into_iter().map(|(end, segments)| (end, bytes_sent(&segments))).collect()
}

/// Question 3 (2 points): how many segments of each end are retransmissions?
pub fn retransmissions(trace: &Trace) -> BTreeMap<End, u64> {
    let count = |segments: &[&Segment]| {
        let mut next = None; // the lowest sequence number that has not been sent
        let mut count = 0;
        for segment in segments.iter().filter(|segment| segment.span() > 0) {
            count += u64::from(next.is_some_and(|next| distance(next, segment.seq) < 0));
            let after = segment.seq.wrapping_add(segment.span());
            next = Some(next.filter(|next| distance(*next, after) < 0).unwrap_or(after));
        }
        count
    };
    by_end(trace).into_iter().map(|(end, segments)| (end, count(&segments))).collect()
}

/// Question 4 (2 points): which states does each end pass through, and how long does it stay in each?
pub fn states(trace: &Trace) -> BTreeMap<End, Vec<Stay>> {
    let stays = |segments: &[&Segment]| {
        let mut firsts: Vec<&Segment> = segments.to_vec();
        firsts.dedup_by(|later, earlier| later.state == earlier.state);
        let stay = |(index, first): (usize, &&Segment)| Stay {
            state: first.state.clone(),
            nanoseconds: firsts.get(index + 1).map(|next| next.timestamp - first.timestamp),
        };
        firsts.iter().enumerate().map(stay).collect()
    };
    by_end(trace).into_iter().map(|(end, segments)| (end, stays(&segments))).collect()
}

/// Question 5 (2 points): at which rate does each end send, in bytes per second, rounded down?
pub fn throughput(trace: &Trace) -> BTreeMap<End, i64> {
    let rate = |segments: &[&Segment]| {
        let times = || segments.iter().filter(|segment| segment.length > 0).map(|it| it.timestamp);
        let nanoseconds = i128::from(times().max()? - times().min()?);
        let billions = i128::from(bytes_sent(segments)) * 1_000_000_000;
        i64::try_from(billions.checked_div(nanoseconds)?).ok()
    };
    by_end(trace).into_iter().filter_map(|(end, segments)| Some((end, rate(&segments)?))).collect()
}

/// Question 6 (1 point): which three system calls does the command make most often, and how often?
pub fn busiest_calls(trace: &Trace) -> Vec<(String, i64)> {
    let mut calls: Vec<_> = trace.system_calls.clone().into_iter().collect();
    calls.sort_by_key(|(_, count)| Reverse(*count));
    calls.truncate(3);
    calls
}

/// Returns the segments that each end has sent, in the order of time.
fn by_end(trace: &Trace) -> BTreeMap<End, Vec<&Segment>> {
    let mut ends: BTreeMap<End, Vec<&Segment>> = BTreeMap::new();
    for segment in in_order_of_time(trace) {
        ends.entry(segment.end()).or_default().push(segment);
    }
    ends
}

fn in_order_of_time(trace: &Trace) -> Vec<&Segment> {
    let mut segments: Vec<&Segment> = trace.segments.iter().collect();
    segments.sort_by_key(|segment| segment.timestamp);
    segments
}

/// Returns how many different bytes of data an end has sent: those from its SYN to the highest number that a
/// segment with data reaches.
fn bytes_sent(segments: &[&Segment]) -> i64 {
    let Some(syn) = segments.iter().find(|segment| segment.has(SYN)) else { return 0 };
    let first = syn.seq.wrapping_add(1);
    let with_data = segments.iter().filter(|segment| segment.length > 0);
    let ends = with_data.map(|it| distance(first, it.seq.wrapping_add(it.length)));
    ends.max().unwrap_or(0)
}

/// Returns how far `to` is behind `from`, modulo 2^32; less than 0 if it is before it.
fn distance(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from).cast_signed())
}
