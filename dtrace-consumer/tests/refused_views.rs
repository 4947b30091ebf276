//! What happens where the kernel refuses the BPF programs that the worker has changed, and takes the others?
//!
//! A library between libdtrace and the kernel plays the kernel that refuses. Where the numbers of a PID
//! namespace are to be translated, nothing would fire with unchanged programs, so the session fails. Elsewhere
//! it traces, and warns.

use std::process::{Command, Stdio};

use dtrace_consumer::{Failure, Outcome, run_synchronous};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::orphans_ended;
use dtrace_test_support::programs::compile;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Root, Command("cc"), Command("unshare")],
    tests: [
        a_program_that_is_not_translated_to_a_pid_namespace_fails_the_session,
        a_program_that_shows_the_worker_is_warned_of,
        that_warning_arrives_though_the_command_cannot_be_released,
    ],
}

/// The first argument of this binary as a program that traces.
const CONSUMER: &str = "not-a-test";

/// In a worker, refuses programs for tracepoints that contain what the worker puts there: a call of
/// `bpf_get_ns_current_pid_tgid`, or the consumer's number as an operand (1 is in every program). With the variable, it also refuses to
/// open the memory of processes for writing.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct instruction { uint8_t code, registers; int16_t offset; int32_t immediate; };
struct load { uint32_t kind, length; uint64_t instructions; };

// A worker may change its environment later.
static int is_worker;

__attribute__((constructor)) static void begin(void) {
    is_worker = getenv("DTRACE_CONSUMER_WORKER") != NULL;
}

static int is_changed(const struct load *load) {
    const struct instruction *it = (const void *)load->instructions;
    for (uint32_t at = 0; at < load->length; at++, it++)
        if ((it->code == 0x85 && it->registers == 0 && it->immediate == 120) ||
            (it->code == 0xb7 && it->registers == 1 && it->immediate == getppid() && getppid() != 1))
            return 1;
    return 0;
}

long syscall(long number, ...) {
    static long (*next)(long, ...);
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!next)
        next = dlsym(RTLD_NEXT, "syscall");
    const struct load *load = (const void *)a[1];
    if (number == SYS_bpf && (int)a[0] == 5 && load->kind == 5 && is_worker && is_changed(load)) {
        errno = EACCES;
        return -1;
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int open64(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    va_list list;
    va_start(list, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, int) : 0;
    va_end(list);
    if (!next)
        next = dlsym(RTLD_NEXT, "open64");
    size_t length = strlen(path);
    if (getenv("TEST_SHUT") && is_worker && (flags & O_ACCMODE) == O_WRONLY &&
        length > 4 && strcmp(path + length - 4, "/mem") == 0) {
        errno = EACCES;
        return -1;
    }
    return next(path, flags, mode);
}
"#;

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if let [word, script] = &words[..]
            && word == CONSUMER
        {
            consume(script);
            std::process::exit(0);
        }
    }
}

fn consume(script: &str) {
    let warned = |outcome: &Outcome| {
        let warnings = outcome.warnings.iter();
        warnings.map(|it| format!("{:?} {}", it.kind, it.subject)).collect::<Vec<_>>().join(", ")
    };
    match run_synchronous(script, traced_program("calls", 3)).chew(|_| Ok(())).run() {
        Ok(outcome) => println!("{} firings, {}", outcome.firings, warned(&outcome)),
        Err(Failure { error, outcome }) => {
            let error = error.to_string();
            println!("{}: {}", error.trim_end_matches([':', ' ']), warned(&outcome));
        }
    }
}

/// Returns what this binary prints that traces with the library. `before` is a command before it.
fn says(before: &[&str], variable: &str, script: &str) -> String {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let library = directory.path().join("library.so");
    compile(LIBRARY, &["-shared", "-fPIC"], &library);
    let exe = std::env::current_exe().expect("the test knows its own file");
    let exe = exe.to_str().expect("text");
    let words = [before, &[exe, CONSUMER, script]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("LD_PRELOAD", &library).env(variable, "1").stdin(Stdio::null());
    let output = command.output().expect("the command can be run");
    orphans_ended();
    guard.check();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

const CALLS: &str = "syscall::getppid:entry /pid == $target && pid != $pid/ { trace(1); }";

fn a_program_that_is_not_translated_to_a_pid_namespace_fails_the_session() {
    let container = ["unshare", "--pid", "--fork", "--mount-proc"];
    let said = says(&container, "NOTHING", CALLS);
    let probe = "the kernel refused the probe syscall:vmlinux:getppid:entry";
    assert!(said.starts_with(probe) && said.contains("Permission denied"), "{said}");
}

fn a_program_that_shows_the_worker_is_warned_of() {
    assert_eq!(says(&[], "NOTHING", CALLS), "3 firings, Apart $pid");
    // A script that does not ask for it misses nothing.
    let script = "syscall::getppid:entry /pid == $target/ { trace(pid); }";
    assert_eq!(says(&[], "NOTHING", script), "3 firings,");
}

fn that_warning_arrives_though_the_command_cannot_be_released() {
    let script = format!("pid$target:libc.so.6:getppid:entry {{ }} {CALLS}");
    let said = says(&[], "TEST_SHUT", &script);
    assert!(said.contains("opening the command's gate"), "{said}");
    assert!(said.ends_with(": Apart $pid"), "{said}");
}
