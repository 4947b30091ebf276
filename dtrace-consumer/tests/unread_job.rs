//! What happens to a session whose worker does not read its job?

use std::time::Duration;

use dtrace_consumer::{Error, Failure, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::compile;

live_tests! {
    needs: [Tracing, Command("cc")],
    long: [a_worker_that_does_not_read_its_job_is_silent],
}

/// How long the worker may be silent.
const LIMIT: Duration = Duration::from_secs(2);

/// A larger job than the channel holds. The worker would end by itself, and that would be another error.
fn a_worker_that_does_not_read_its_job_is_silent() {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let worker = directory.path().join("worker");
    compile("#include <unistd.h>\nint main(void) { sleep(30); }", &[], &worker);
    for size in [10, 10 << 20] {
        let script = format!("BEGIN {{ }} /* {} */", "x".repeat(size));
        let result = trace(script).worker(&worker).silence_limit(LIMIT).run();
        let Err(Failure { error, .. }) = result else { panic!("{size}: {result:?}") };
        assert!(matches!(error, Error::WorkerSilent { .. }), "{size}: {error}");
    }
    guard.check();
}
