//! Generators of what a recording says about itself.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::data::recording::Origin;
use crate::data::session_info::{Admission, ByteOrder, OmittedLibrary, Platform, SessionInfo};
use crate::stream::contents::{ContentsFrame, SessionFailure};

pub(super) fn omitted() -> impl Strategy<Value = OmittedLibrary> {
    (text(), text()).prop_map(|(file, reason)| OmittedLibrary { file, reason })
}

pub(super) fn session() -> impl Strategy<Value = SessionInfo> {
    let platform = prop::sample::select(vec![
        Platform::Linux,
        Platform::FreeBsd,
        Platform::MacOs,
        Platform::Illumos,
    ]);
    let order = prop::sample::select(vec![ByteOrder::LittleEndian, ByteOrder::BigEndian]);
    let admission =
        prop::sample::select(vec![Admission::Known, Admission::Verified, Admission::UnderCheck]);
    let end = (order, admission);
    (text(), text(), platform, text(), text(), vec(omitted(), 0..3), end).prop_map(
        |(library_version, library, platform, kernel, machine, omitted_libraries, end)| {
            let (byte_order, admission) = end;
            SessionInfo {
                library_version,
                library,
                platform,
                kernel,
                machine,
                omitted_libraries,
                byte_order,
                admission,
            }
        },
    )
}

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

pub(super) fn origin() -> impl Strategy<Value = Origin> {
    let times = (any::<u64>(), any::<u64>());
    (text(), times, option::of(vec(text(), 0..4))).prop_map(
        |(crate_version, (wall_clock, monotonic), command)| Origin {
            crate_version,
            wall_clock: Duration::from_nanos(wall_clock),
            monotonic: Duration::from_nanos(monotonic),
            command,
        },
    )
}
