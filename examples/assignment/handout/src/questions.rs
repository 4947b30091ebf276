//! What is asked, and how is an answer written down? Given: you need not change this file.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::answers;
use crate::trace::{Stay, Trace, Traffic};

/// A question of the lab.
pub struct Question {
    /// The name of its function in `answers.rs`.
    pub name: &'static str,
    /// How many points a right answer gives.
    pub points: u32,
    /// What is asked, in a sentence.
    pub asked: &'static str,
    /// Where to look if the answer is wrong.
    pub hint: &'static str,
    /// Answers it: a name and a text for each part of the answer.
    pub answer: fn(&Trace) -> BTreeMap<String, String>,
}

/// All questions.
pub const QUESTIONS: [Question; 6] = [
    Question {
        name: "traffic",
        points: 2,
        asked: "how many segments and bytes of data has each end sent?",
        hint: "a connection has two ends, and both send: look at Segment::end",
        answer: |trace| {
            lines(answers::traffic(trace), |it: Traffic| {
                format!("{} segments, {} bytes", it.segments, it.bytes)
            })
        },
    },
    Question {
        name: "sequence",
        points: 2,
        asked: "how many different bytes of data has each end sent, by its sequence numbers?",
        hint: "sequence numbers have 32 bits, 0 follows 4294967295: look at u32::wrapping_sub; SYN and FIN take one \
               number each",
        answer: |trace| lines(answers::sequence(trace), |bytes| format!("{bytes} bytes")),
    },
    Question {
        name: "retransmissions",
        points: 2,
        asked: "how many segments of each end are retransmissions?",
        hint: "compare with what the same end has sent before, in the order of time; 5 is after 4294967000",
        answer: |trace| {
            lines(answers::retransmissions(trace), |count| format!("{count} sent again"))
        },
    },
    Question {
        name: "states",
        points: 2,
        asked: "which states does each end pass through, and how long does it stay in each?",
        hint: "segments arrive CPU by CPU, not in the order of time: look at Trace::segments",
        answer: |trace| {
            lines(answers::states(trace), |stays: Vec<Stay>| {
                let one = |it: &Stay| match it.nanoseconds {
                    Some(time) => format!("{} for {time} ns", it.state),
                    None => it.state.clone(),
                };
                stays.iter().map(one).collect::<Vec<_>>().join(", ")
            })
        },
    },
    Question {
        name: "throughput",
        points: 2,
        asked: "at which rate does each end send, in bytes per second?",
        hint: "it is the answer to `sequence`, divided by the time between the end's first and last segment with \
               data",
        answer: |trace| lines(answers::throughput(trace), |rate| format!("{rate} bytes/s")),
    },
    Question {
        name: "busiest_calls",
        points: 1,
        asked: "which three system calls does the command make most often?",
        hint: "look at Trace::system_calls; the most frequent one comes first, and the alphabet decides a tie",
        answer: |trace| {
            let calls = (1..).zip(answers::busiest_calls(trace));
            lines(calls, |(name, count)| format!("{name}, {count} times"))
        },
    },
];

/// Returns a line for each part of an answer.
fn lines<K: Display, V>(
    answer: impl IntoIterator<Item = (K, V)>,
    write: impl Fn(V) -> String,
) -> BTreeMap<String, String> {
    answer.into_iter().map(|(part, value)| (part.to_string(), write(value))).collect()
}
