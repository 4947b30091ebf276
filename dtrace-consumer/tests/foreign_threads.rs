//! What happens to threads that a library of the program starts in the worker, before it is confined?
//!
//! They may do what the program may do. The worker's own threads are confined all the same.

use std::path::Path;
use std::process::Command;

use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_stand_in::plan::{Argument, Fault, Misdeed, Plan, SystemCall};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::put_stand_in;
use dtrace_test_support::printed::printed_by;
use dtrace_test_support::programs::compile;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_thread_of_a_library_may_do_in_a_worker_what_no_session_does,
        a_worker_with_such_a_thread_is_confined_itself,
    ],
}

/// The first argument of this binary as a program that traces.
const CONSUMER: &str = "not-a-test";

/// In a worker, starts a thread that opens sockets and files, as a library that writes a log may. It ends the
/// process if it cannot.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *work(void *nothing) {
    for (;;) {
        int s = socket(AF_UNIX, SOCK_DGRAM, 0), f = open("/dev/null", O_WRONLY);
        if (s < 0 || f < 0) {
            write(2, "a thread was confined\n", 22);
            _exit(42);
        }
        close(s);
        close(f);
        usleep(1000);
    }
    return nothing;
}

__attribute__((constructor)) static void begin(void) {
    pthread_t thread;
    if (getenv("DTRACE_CONSUMER_WORKER"))
        pthread_create(&thread, NULL, work, NULL);
}
"#;

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        let words: Vec<String> = std::env::args().skip(1).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [CONSUMER, "trace"] => count(),
            [CONSUMER, "attack", prefix] => attack(Path::new(prefix)),
            _ => return,
        }
        std::process::exit(0);
    }
}

/// Traces a command that lives so long that the thread has its turn.
fn count() {
    let command = ["sh", "-c", "sleep 0.3; exec \"$0\" \"$@\""].map(Into::into);
    let command = [&command[..], &traced_program("calls", 3)].concat();
    let script = "syscall::getppid:entry /pid == $target && execname != \"sh\"/ { trace(1); }";
    match run_synchronous(script, command).chew(|_| Ok(())).run() {
        Ok(outcome) => println!("{} calls", outcome.firings),
        Err(failure) => println!("{failure}"),
    }
}

/// Has libdtrace start a program in the worker.
fn attack(prefix: &Path) {
    let fault = Fault { call: "dtrace_work".into(), nth: 1, misdeed: Misdeed::Fail(1000) };
    let start = SystemCall {
        within: "dtrace_work".into(),
        number: libc::SYS_execve,
        arguments: vec![Argument::Text("/bin/true".into())],
        ..SystemCall::default()
    };
    Plan { faults: vec![fault], system_calls: vec![start], ..Plan::default() }.put(prefix);
    match trace("BEGIN { }").prefix(prefix).run() {
        Err(Failure { error: Error::WorkerDied { status, .. }, .. }) => println!("{status}"),
        other => println!("{other:?}"),
    }
}

/// Returns what this binary prints as a program with the library. It leaves nothing behind.
fn with_library(words: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let library = directory.path().join("library.so");
    compile(LIBRARY, &["-shared", "-fPIC"], &library);
    let exe = std::env::current_exe().expect("the test knows its own file");
    let mut command = Command::new(exe);
    printed_by(command.arg(CONSUMER).args(words).env("LD_PRELOAD", &library))
}

fn a_thread_of_a_library_may_do_in_a_worker_what_no_session_does() {
    assert_eq!(with_library(&["trace"]), "3 calls\n");
}

fn a_worker_with_such_a_thread_is_confined_itself() {
    let prefix = tempfile::tempdir().expect("a directory");
    put_stand_in(prefix.path());
    let said = with_library(&["attack", prefix.path().to_str().expect("text")]);
    assert!(said.contains("system call filter") && said.contains("SIGSYS"), "{said}");
}
