//! Is a library refused whose answers in the self-check are not those that its structures predict?

use dtrace_consumer::locate::Standing;
use dtrace_stand_in::plan::{Fault, Misdeed, Plan};
use dtrace_test_support::unverified::Unverified;

pub(crate) fn a_library_that_answers_otherwise_is_refused() {
    let prefix = Unverified::of_stand_in("2.0.8", |prefix| Plan::default().put(prefix));
    assert_eq!(prefix.standing(), Some(Standing::Unverified));
    let text = prefix.refused();
    let expected = match cfg!(dtrace_abi = "linux") {
        true => "could not be checked: finding libdtrace's counters of drops",
        // The first question.
        false => "differs: records of integers and strings: expected `firing 0 dtrace:::BEGIN: ",
    };
    assert!(text.contains(&format!("version 2.0.8 {expected}")), "{text}");
}

pub(crate) fn a_library_that_crashes_in_its_check_is_refused() {
    for call in ["dtrace_open", "dtrace_go", "dtrace_work"] {
        let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed: Misdeed::Abort }];
        let plan = Plan { faults, ..Plan::default() };
        let text = Unverified::of_stand_in("2.0.8", |prefix| plan.put(prefix)).refused();
        assert!(text.contains("version 2.0.8 differs: the worker process"), "{call}: {text}");
    }
}
