//! Does an executable become a worker, whatever its environment and libraries do?

use std::process::{Command, Stdio};

use dtrace_consumer::{Error, Failure, run_synchronous};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::no_children;
use dtrace_test_support::programs::compile;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_library_with_a_thread_before_main_and_a_worker_leave_each_other_alone,
        a_worker_of_another_version_is_refused,
    ],
    needs: [],
    tests: [
        a_marker_of_another_version_never_reaches_main,
        a_marker_for_another_process_is_ignored,
    ],
}

const MARKER: &str = "DTRACE_CONSUMER_WORKER";

/// The argument with which this binary traces.
const CONSUMER: &str = "not-a-test";

/// Starts a thread that uses the environment and a descriptor for as long as the process lives, as a library
/// that writes a log may. It ends the process if somebody else changes the environment, or if the descriptor
/// becomes another file than its own or /dev/null.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct stat own;
static int fd;
static char *marker;

static void fail(const char *why) {
    write(2, why, strlen(why));
    _exit(42);
}

static void *watch(void *nothing) {
    for (;;) {
        struct stat now;
        char *here = getenv("DTRACE_CONSUMER_WORKER");
        if ((here == NULL) != (marker == NULL))
            fail("the environment was changed\n");
        if (fstat(fd, &now) != 0)
            fail("the descriptor was closed\n");
        if (now.st_ino != own.st_ino && now.st_rdev != makedev(1, 3))
            fail("the descriptor is another file\n");
        usleep(100);
    }
    return nothing;
}

__attribute__((constructor)) static void begin(void) {
    static pthread_t thread;
    marker = getenv("DTRACE_CONSUMER_WORKER");
    // It is inherited by programs, like many a log.
    fd = open("/dev/zero", O_RDWR);
    if (fd < 0 || fstat(fd, &own) != 0 || pthread_create(&thread, NULL, watch, NULL) != 0)
        fail("the library cannot begin\n");
}
"#;

fn a_library_with_a_thread_before_main_and_a_worker_leave_each_other_alone() {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let library = directory.path().join("library.so");
    compile(LIBRARY, &["-shared", "-fPIC"], &library);
    // Every process is given the library: consumer, worker, and the program that the worker starts, which
    // inherits the marker and yet must not become a worker.
    let exe = std::env::current_exe().expect("the test knows its own file");
    let output = Command::new(exe)
        .arg(CONSUMER)
        .env("LD_PRELOAD", &library)
        .output()
        .expect("this binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "3 calls\n", "{complaints}");
    guard.check();
}

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        if std::env::args().skip(1).eq([CONSUMER]) {
            trace_a_created_process();
        }
    }
}

fn trace_a_created_process() {
    let words = traced_program("calls", 3).into_iter();
    let words: Vec<String> = words.map(|word| word.into_string().expect("UTF-8")).collect();
    let mut calls = 0;
    let result = dtrace_consumer::trace("syscall::getppid:entry /pid == $target/ { @ = count(); }")
        .option("evaltime", "exec")
        .create(words)
        .walk(|entry| {
            calls = entry.number()?;
            Ok(())
        })
        .run();
    match result {
        Ok(_) => println!("{calls} calls"),
        Err(failure) => println!("{failure}"),
    }
    // The worker would become a child of the test.
    no_children();
    std::process::exit(0);
}

/// Runs this binary with a value of the marker, so that its `main` lists the tests. Returns its exit status, and
/// whether it did.
fn run_with_marker(value: &str, input: Stdio) -> (Option<i32>, bool, String) {
    let exe = std::env::current_exe().expect("the test knows its own file");
    let mut command = Command::new(exe);
    let output = command.arg("--list").env(MARKER, value).stdin(input).output();
    let output = output.expect("this binary starts");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), !output.stdout.is_empty(), complaints)
}

/// What the standard input may be.
fn inputs() -> [Stdio; 2] {
    let (socket, _) = std::os::unix::net::UnixStream::pair().expect("sockets");
    [Stdio::null(), Stdio::from(std::os::fd::OwnedFd::from(socket))]
}

fn a_marker_of_another_version_never_reaches_main() {
    for value in ["", "1", "2", "0:1", "2:1", "1:", "1:x", "yes"] {
        for input in inputs() {
            let (status, listed, said) = run_with_marker(value, input);
            assert_eq!((status, listed), (Some(76), false), "{value}: {said}");
            assert!(said.contains(&format!("({MARKER}={value}) by another version")), "{said}");
        }
    }
}

fn a_marker_for_another_process_is_ignored() {
    for input in inputs() {
        assert_eq!(run_with_marker("1:1", input), (Some(0), true, String::new()));
    }
}

fn a_worker_of_another_version_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let exe = std::env::current_exe().expect("the test knows its own file");
    // What a consumer of another version would start.
    let source = format!(
        "#include <stdlib.h>\n#include <unistd.h>\nint main(void) {{ setenv(\"{MARKER}\", \"2:1\", 1); \
         execl(\"{0}\", \"{0}\", (char *)0); return 1; }}\n",
        exe.display()
    );
    let worker = directory.path().join("worker");
    compile(&source, &[], &worker);
    let result = run_synchronous("BEGIN { }", ["true"]).worker(&worker).run();
    let Err(Failure { error: Error::WorkerStart { program, reason }, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(program, worker);
    assert!(reason.contains("by another version of dtrace-consumer"), "{reason}");
}
