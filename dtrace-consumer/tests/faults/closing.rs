//! When does a worker end whose libdtrace is still attached to processes?

use std::path::Path;

use dtrace_consumer::trace;
use dtrace_stand_in::plan::{CALLS, Plan, RELEASED};
use dtrace_test_support::answering::Answering;
use dtrace_test_support::processes::{children, wait_until};

use crate::stage::*;

/// Runs a session that grabs a process, with a library that stays attached to it for so long while it closes.
/// Waits until the worker has ended, and returns whether the library came so far as to let go of the process.
fn was_released(milliseconds: u64) -> bool {
    let prefix = Prefix::new();
    let mut process = Answering::start("answer");
    let calls = prefix.path.join(CALLS);
    std::fs::write(&calls, "").expect("the prefix is there");
    Plan { attached: Some(milliseconds), ..Plan::default() }.put(&prefix.path);
    let session = trace("BEGIN { }").prefix(&prefix.path).grab(process.pid());
    session.run().expect("the stream ends before the library has closed");
    let log = || std::fs::read_to_string(&calls).expect("the calls were noted");
    assert!(log().lines().any(|line| line == "dtrace_close"), "the library is not closing");
    assert!(is_traced(process.pid()), "the library did not stay attached");
    let worker_is_gone = || children().iter().all(|child| *child == process.pid());
    wait_until("the worker has ended", worker_is_gone);
    assert!(!is_traced(process.pid()), "the kernel detaches what the worker has left");
    process.ask();
    process.answered();
    process.end();
    log().lines().any(|line| line == RELEASED)
}

fn is_traced(pid: i32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    !status.expect("it lives").contains("TracerPid:\t0\n")
}

/// The stream of a session with a process ends after three seconds.
pub(crate) fn a_worker_lives_until_its_library_has_let_go_of_processes() {
    assert!(was_released(12_000));
}

pub(crate) fn a_worker_whose_library_never_lets_go_of_a_process_ends() {
    assert!(!was_released(1_000_000));
}
