//! What becomes of D libraries that the running kernel does not fit?

use dtrace_consumer::{Outcome, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::Prefix;

live_tests! {
    needs: [Tracing],
    tests: [
        a_library_that_does_not_compile_is_left_out_by_name,
    ],
}

fn run(prefix: &Prefix, script: &str) -> Outcome {
    let session = run_synchronous(script, ["true"]).prefix(prefix.path());
    session.run().expect("the session comes to its end")
}

/// Needs every D library.
const TRANSLATED: &str = "proc:::exit /pid == $target/ { trace(args[0]); }";

fn a_library_that_does_not_compile_is_left_out_by_name() {
    let prefix = Prefix::new("broken-library");
    prefix.add_library("odd.d", "inline int odd = vmlinux`no_such_variable;\n");
    let outcome = run(&prefix, TRANSLATED);
    let omitted = outcome.session.expect("a session").omitted_libraries;
    let odd = omitted.iter().find(|it| it.file == "odd.d").expect("it is named");
    assert!(odd.reason.contains("no_such_variable"), "{}", odd.reason);
    // What needs no library does not even look at it.
    let outcome = run(&prefix, "BEGIN { trace(1); }");
    assert_eq!(outcome.timings.attempts, 1);
    assert!(outcome.session.expect("a session").omitted_libraries.is_empty());
}
