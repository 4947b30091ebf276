//! Generators of what a recording says about itself.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::stream::contents::{ContentsFrame, SessionFailure};

pub(super) fn contents() -> impl Strategy<Value = ContentsFrame> {
    let scripts = vec((text(), bytes()), 0..3);
    let options = vec((text(), option::of(text())), 0..3);
    (any::<[bool; 5]>(), scripts, options).prop_map(|(held, scripts, options)| {
        let [firings, text, printed, report, preprocessed] = held;
        ContentsFrame { firings, text, printed, report, preprocessed, scripts, options }
    })
}

pub(super) fn session_failure() -> impl Strategy<Value = SessionFailure> {
    prop_oneof![
        (text(), text())
            .prop_map(|(status, last_words)| SessionFailure::WorkerDied { status, last_words }),
        text().prop_map(|last_words| SessionFailure::WorkerSilent { last_words }),
        Just(SessionFailure::Lost),
        Just(SessionFailure::Aborted),
        any::<u64>().prop_map(|n| SessionFailure::Deadline { limit: Duration::from_nanos(n) }),
    ]
}
