//! Does a self-check admit a libdtrace that answers as predicted, and no other?

use dtrace_consumer::locate::Standing;
use dtrace_consumer::session::Admission;
use dtrace_consumer::verify::{self, Verification};
use dtrace_stand_in::plan::{Fault, Misdeed, Plan};
use dtrace_test_support::live_tests;
use dtrace_test_support::unverified::Unverified;

live_tests! {
    needs: [Tracing],
    tests: [
        a_library_of_an_unknown_version_is_used_after_a_self_check,
        a_library_without_the_maps_of_its_drops_is_refused,
        a_library_that_crashes_in_its_self_check_is_refused,
        a_library_that_is_too_old_is_refused_without_being_loaded,
    ],
    by_hand: [a_library_that_hangs_in_its_self_check_is_refused],
}

/// The stand-in, as a version that is not known.
fn that_follows(plan: &Plan) -> Unverified {
    Unverified::of_stand_in("2.0.8", |prefix| plan.put(prefix))
}

fn a_library_of_an_unknown_version_is_used_after_a_self_check() {
    for version in ["2.0.8", "2.0.6"] {
        let prefix = Unverified::of_real(version);
        assert_eq!(prefix.standing(), Some(Standing::Unverified), "{version}");
        let outcome = prefix.run().expect("the check admits it");
        let info = outcome.session.expect("it began");
        assert_eq!((info.library_version.as_str(), info.admission), (version, Admission::Verified));
        // The verdict is kept.
        assert_eq!(prefix.standing(), Some(Standing::Verified), "{version}");
    }
}

fn a_library_without_the_maps_of_its_drops_is_refused() {
    let prefix = that_follows(&Plan::default());
    let text = prefix.refused();
    assert!(
        text.contains("version 2.0.8 could not be checked: finding libdtrace's counters of drops"),
        "{text}"
    );
}

fn a_library_that_crashes_in_its_self_check_is_refused() {
    for call in ["dtrace_open", "dtrace_go", "dtrace_work"] {
        let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed: Misdeed::Abort }];
        let prefix = that_follows(&Plan { faults, ..Plan::default() });
        let text = prefix.refused();
        assert!(text.contains("version 2.0.8 differs: "), "{call}: {text}");
        assert!(text.contains("the worker process"), "{call}: {text}");
    }
}

fn a_library_that_hangs_in_its_self_check_is_refused() {
    let rounds = vec![vec![dtrace_stand_in::plan::Event::Pause(600_000)]];
    let prefix = that_follows(&Plan { rounds, ..Plan::default() });
    let text = prefix.refused();
    assert!(text.contains("did not answer in time"), "{text}");
}

fn a_library_that_is_too_old_is_refused_without_being_loaded() {
    let prefix = Unverified::of_real("2.0.5");
    assert!(prefix.refused().contains("version 2.0.5 is not supported"));
    let mut options = verify::Options::default();
    options.prefix = Some(prefix.path().to_owned());
    let mut seen: Vec<Verification> = Vec::new();
    let passed = verify::verify(&options, |it| seen.push(it.result.clone())).expect("privileged");
    assert_eq!((seen.len(), passed.len()), (0, 1));
}
