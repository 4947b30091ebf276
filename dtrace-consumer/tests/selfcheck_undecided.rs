//! Does a self-check keep no verdict that something else than the library may have caused, and end with its session?

use std::fs;
use std::path::Path;
use std::time::Duration;

use dtrace_consumer::locate::Standing;
use dtrace_consumer::verify::SYSTEM_VERDICTS;
use dtrace_consumer::{Error, Failure, Outcome, StopHandle, preflight, trace};
use dtrace_stand_in::plan::{Event, Fault, Misdeed, Plan};
use dtrace_test_support::live_tests;
use dtrace_test_support::mount_namespace::printed_after;
use tempfile::TempDir;

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

/// A prefix with the stand-in, under another version and with a build-id of its own. Its verdicts vanish with it.
struct Prefix {
    directory: TempDir,
    build: String,
}

impl Prefix {
    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        for file in fs::read_dir(SYSTEM_VERDICTS).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.build) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

fn prefix(plan: &Plan) -> Prefix {
    let directory = TempDir::new().expect("a directory");
    let exe = std::env::current_exe().expect("the test knows its own file");
    let mut image = fs::read(exe.with_file_name("libdtrace_stand_in.so")).expect("it is built");
    let find = |image: &[u8], text: &[u8]| {
        image.windows(text.len()).position(|it| it == text).expect("a library has it")
    };
    let version = find(&image, b"\0D 2.0.7\0");
    image[version + 7] = b'8';
    let id = find(&image, b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16;
    let own = directory.path().to_string_lossy().into_owned();
    let own: Vec<u8> = own.bytes().rev().chain([0; 20]).take(20).collect();
    image[id..id + 20].copy_from_slice(&own);
    fs::create_dir(directory.path().join("lib")).expect("a directory");
    fs::write(directory.path().join("lib/libdtrace.so.2"), image).expect("a file");
    plan.put(directory.path());
    let build = own.iter().map(|byte| format!("{byte:02x}")).collect();
    Prefix { directory, build }
}

fn with_fault(call: &str, misdeed: Misdeed) -> Prefix {
    let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed }];
    prefix(&Plan { faults, ..Plan::default() })
}

/// A library that never gets on with its work.
fn that_hangs() -> Prefix {
    prefix(&Plan { rounds: vec![vec![Event::Pause(600_000)]], ..Plan::default() })
}

fn refused(result: Result<Outcome, Failure>) -> String {
    match result {
        Err(Failure { error: Error::Unavailable(error), .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn run(prefix: &Path) -> Result<Outcome, Failure> {
    trace("BEGIN { exit(0); }").prefix(prefix).run()
}

fn standing(prefix: &Path) -> Option<Standing> {
    preflight(Some(prefix)).library().map(|library| library.standing)
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
        let text = refused(run(prefix.path()));
        assert!(text.contains("could not be checked: "), "{said}: {text}");
        assert!(!text.contains("differs"), "{said}: {text}");
        assert_eq!(standing(prefix.path()), Some(Standing::Unverified), "{said}");
    }
}

fn a_check_whose_worker_crashes_is_decided() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        let prefix = with_fault("dtrace_go", Misdeed::Signal(signal));
        let text = refused(run(prefix.path()));
        assert!(text.contains("version 2.0.8 differs: "), "{signal}: {text}");
        // The verdict is kept.
        assert_eq!(standing(prefix.path()), None, "{signal}");
    }
}

fn invalid_data_decide_a_check() {
    let prefix = prefix(&Plan { rounds: vec![vec![Event::LoneEnd]], ..Plan::default() });
    let text = refused(run(prefix.path()));
    assert!(text.contains("version 2.0.8 differs: "), "{text}");
    assert!(text.contains("invalid data from libdtrace"), "{text}");
    assert_eq!(standing(prefix.path()), None);
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
    assert_eq!(standing(prefix.path()), Some(Standing::Unverified));
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
    assert_eq!(standing(prefix.path()), Some(Standing::Unverified));
}
