//! Does a self-check keep no verdict that something else than the library may have caused, and end with its session?

use std::time::Duration;

use dtrace_consumer::locate::Standing;
use dtrace_consumer::{Error, Failure, StopHandle, trace};
use dtrace_stand_in::plan::{Event, Fault, Misdeed, Plan};
use dtrace_test_support::live_tests;
use dtrace_test_support::mount_namespace::printed_after;
use dtrace_test_support::unverified::Unverified;

live_tests! {
    needs: [Tracing],
    tests: [
        a_check_whose_worker_is_killed_decides_nothing,
        a_check_whose_worker_crashes_is_decided,
        invalid_data_decide_a_check,
        a_host_that_cannot_trace_says_nothing_about_its_library,
        a_deadline_ends_a_check,
        an_abort_ends_a_check_and_the_wait_for_one,
    ],
}

/// The stand-in, as a version that is not known.
fn prefix(plan: &Plan) -> Unverified {
    Unverified::of_stand_in("2.0.8", |prefix| plan.put(prefix))
}

fn with_fault(call: &str, misdeed: Misdeed) -> Unverified {
    let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed }];
    prefix(&Plan { faults, ..Plan::default() })
}

/// A library that never gets on with its work.
fn that_hangs() -> Unverified {
    prefix(&Plan { rounds: vec![vec![Event::Pause(600_000)]], ..Plan::default() })
}

fn a_check_whose_worker_is_killed_decides_nothing() {
    for (call, misdeed) in [
        ("dtrace_go", Misdeed::Signal(libc::SIGKILL)),
        ("dtrace_work", Misdeed::Signal(libc::SIGTERM)),
        ("dtrace_open", Misdeed::Exit(3)),
        ("dtrace_open", Misdeed::Fail(libc::EPERM)),
        ("dtrace_go", Misdeed::Fail(libc::EPERM)),
    ] {
        let said = format!("{call} {misdeed:?}");
        let prefix = with_fault(call, misdeed);
        let text = prefix.refused();
        assert!(text.contains("could not be checked: "), "{said}: {text}");
        assert!(!text.contains("differs"), "{said}: {text}");
        assert_eq!(prefix.standing(), Some(Standing::Unverified), "{said}");
    }
}

fn a_check_whose_worker_crashes_is_decided() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        let prefix = with_fault("dtrace_go", Misdeed::Signal(signal));
        let text = prefix.refused();
        assert!(text.contains("version 2.0.8 differs: "), "{signal}: {text}");
        // The verdict is kept, until this test removes it.
        assert_eq!(prefix.standing(), None, "{signal}");
        let verdicts = prefix.verdicts();
        assert!(!verdicts.is_empty(), "{signal}");
        drop(prefix);
        assert!(!verdicts.iter().any(|verdict| verdict.exists()), "{signal}");
    }
}

fn invalid_data_decide_a_check() {
    let prefix = prefix(&Plan { rounds: vec![vec![Event::LoneEnd]], ..Plan::default() });
    let text = prefix.refused();
    assert!(text.contains("version 2.0.8 differs: "), "{text}");
    assert!(text.contains("invalid data from libdtrace"), "{text}");
    assert_eq!(prefix.standing(), None);
}

fn a_host_that_cannot_trace_says_nothing_about_its_library() {
    let prefix = prefix(&Plan::default());
    let worker = env!("CARGO_BIN_EXE_dtrace-worker");
    // It fails, as it should.
    let words = ["sh", "-c", "\"$@\" || true", "sh", worker, "verify", "--prefix"];
    let words = words.iter().map(Into::into).chain([prefix.path().into()]).collect();
    let text = printed_after("mount --bind /dev/null /sys/kernel/btf/vmlinux", words);
    assert!(text.contains("could not be checked: ") && text.contains("kernel types"), "{text}");
}

fn a_deadline_ends_a_check() {
    let prefix = that_hangs();
    let session = trace("BEGIN { exit(0); }").prefix(prefix.path());
    match session.deadline(Duration::from_secs(3)).run() {
        Err(Failure { error: Error::Deadline { .. }, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(prefix.standing(), Some(Standing::Unverified));
}

fn an_abort_ends_a_check_and_the_wait_for_one() {
    let prefix = that_hangs();
    let [first, second] = [StopHandle::new(), StopHandle::new()];
    let run = |stop: &StopHandle| match trace("BEGIN { exit(0); }")
        .prefix(prefix.path())
        .stop_handle(stop)
        .run()
    {
        Err(Failure { error: Error::Aborted, .. }) => {}
        other => panic!("{other:?}"),
    };
    std::thread::scope(|scope| {
        let checking = scope.spawn(|| run(&first));
        std::thread::sleep(Duration::from_secs(3));
        let waiting = scope.spawn(|| run(&second));
        second.abort();
        waiting.join().expect("it is aborted");
        assert!(!checking.is_finished());
        first.abort();
        checking.join().expect("it is aborted");
    });
    assert_eq!(prefix.standing(), Some(Standing::Unverified));
}
