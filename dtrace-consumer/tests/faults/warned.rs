//! Does a warning arrive, and only once, if the worker then fails?

use std::time::Duration;

use dtrace_consumer::Failure;
use dtrace_consumer::session::{Warning, WarningKind};
use dtrace_consumer::trace;
use dtrace_stand_in::plan::{Fault, Misdeed, Plan};
use dtrace_test_support::beginner::{beginner, complaint_of};
use dtrace_test_support::processes::orphans_ended;

use crate::stage::*;

/// The stand-in does not ask for the numbers of macro variables, so this is warned of.
const WARNED: &str = "BEGIN /pid != $pid/ { trace(1); }";

pub(crate) fn a_warning_arrives_though_the_next_call_ends_the_process() {
    let prefix = Prefix::new();
    for call in ["dtrace_handle_err", "dtrace_handle_drop", "dtrace_program_exec", "dtrace_go"] {
        let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed: Misdeed::Signal(9) }];
        Plan { faults, ..Plan::default() }.put(&prefix.path);
        let result = trace(WARNED).prefix(&prefix.path).run();
        let Err(Failure { outcome, .. }) = result else { panic!("{call}: {result:?}") };
        let kinds: Vec<_> = outcome.warnings.iter().map(|warning| warning.kind).collect();
        assert_eq!(kinds, [WarningKind::Apart], "{call}");
    }
}

/// The stand-in has no buffers.
pub(crate) fn records_that_cannot_wait_are_warned_of_where_they_may() {
    let prefix = Prefix::new();
    Plan::default().put(&prefix.path);
    // On systems other than Linux they always wait.
    for (delay, warned) in [(Duration::ZERO, false), (Duration::from_millis(1), !SUN)] {
        let session = trace("BEGIN { exit(0); }").prefix(&prefix.path).max_delay(delay);
        let outcome = session.run().expect("a session");
        let is_costly = |warning: &Warning| warning.kind == WarningKind::Costly;
        assert_eq!(outcome.warnings.iter().any(is_costly), warned);
    }
}

/// A worker whose `dtrace_go` fails is followed by another one, which sees all D libraries.
pub(crate) fn a_warning_that_another_attempt_repeats_is_shown_once() {
    let prefix = Prefix::new();
    let go = |nth| Fault { call: "dtrace_go".to_owned(), nth, misdeed: Misdeed::Fail(1006) };
    for faults in [vec![go(1)], Vec::new()] {
        Plan { faults: faults.clone(), ..Plan::default() }.put(&prefix.path);
        let calls = prefix.path.join(dtrace_stand_in::plan::CALLS);
        std::fs::write(&calls, "").expect("the prefix is there");
        let mut program = beginner("asks for its number");
        program.env("DTRACE_CONSUMER_PREFIX", &prefix.path);
        let said = complaint_of(program);
        // The worker may live too briefly for the guard to see whose it is.
        orphans_ended();
        let log = std::fs::read_to_string(&calls).expect("the calls were noted");
        let attempts = log.lines().filter(|line| *line == "dtrace_go").count();
        assert_eq!(attempts, faults.len() + 1, "{log}");
        assert_eq!(said.matches("$pid").count(), 1, "{said}");
    }
}
