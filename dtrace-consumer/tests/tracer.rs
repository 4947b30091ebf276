//! Who is the tracer, seen from a script?
//!
//! Scripts written for dtrace(1) mean the same here: the tracer is this program, also where its worker does
//! the work, and numbers of processes are those of this program's PID namespace. The tests count what this
//! process and its children do, so they run one after the other.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::session::{Source, Traces};
use dtrace_consumer::{Consumer, ConsumerThread, Error, Session, run_synchronous, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{descendants_of, no_children};
use dtrace_test_support::traced::{call, traced_program};
use dtrace_test_support::user::{self, SUDOERS, System};
use nix::unistd;
use parking_lot::Mutex;

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        the_tracer_is_this_program,
        tracing_does_not_feed_itself_past_a_predicate_on_pid,
        a_predicate_on_pid_selects_what_this_program_does,
        macro_variables_are_numbers_of_this_program,
    ],
    needs: [Tracing, Root, Command("unshare"), Command("setsid")],
    tests: [
        macro_variables_are_numbers_of_a_consumer_with_another_group_or_session,
        processes_have_the_numbers_of_the_pid_namespace,
        tracing_in_a_pid_namespace_does_not_feed_itself,
        processes_outside_of_the_pid_namespace_are_told_from_those_inside,
        functions_of_processes_in_a_pid_namespace_fire,
    ],
    needs: [Tracing, Root, Command("cpp")],
    tests: [a_session_whose_begin_does_not_fire_is_an_error],
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [
        the_tracer_is_the_user_whom_an_elevated_worker_serves,
        tracing_with_an_elevated_worker_does_not_feed_itself,
    ],
}

/// The first argument of this binary when it is to do a [`Case`] elsewhere.
const WORD: &str = "elsewhere";

const NUMBERS: &str = "BEGIN {
    printf(\"%d %d %d %d %d %d %d %d\", $pid, $ppid, $pgid, $sid, $uid, $euid, $gid, $egid);
    trace(pid == $pid);
    exit(0);
}";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        do_a_case();
    }
}

fn do_a_case() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(case) = user::case() {
        match case.as_str() {
            "numbers" => println!("{}", numbers(trace(NUMBERS).elevation(Elevation::Sudo))),
            "feedback" => println!("{:?}", fed_back(&Elevation::Sudo)),
            _ => std::process::exit(99),
        }
    } else if let [_, word, case] = &arguments[..]
        && word == WORD
    {
        match case.as_str() {
            "numbers" => println!("{}", numbers(trace(NUMBERS))),
            "target" => println!("{}", calls_of_the_target()),
            "feedback" => println!("{:?}", fed_back(&Elevation::None)),
            "outside" => println!("{}", seen_outside()),
            "function" => println!("{}", functions()),
            _ => std::process::exit(99),
        }
    } else {
        return;
    }
    std::process::exit(0);
}

/// Returns what this binary prints that does `case`, with a command before it.
fn elsewhere(before: &[&str], case: &str) -> String {
    let exe = std::env::current_exe().expect("the test knows its own file");
    let exe = exe.to_str().expect("text");
    let words = [before, &[exe, WORD, case]].concat();
    printed(Command::new(words[0]).args(&words[1..]))
}

/// Returns what a command prints that must succeed.
fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

fn in_pid_namespace(case: &str) -> String {
    elsewhere(&["unshare", "-p", "-f", "--mount-proc"], case)
}

/// Returns the numbers that a script has of this process, after those that the process has itself.
fn numbers<S: Source + Traces, C: Consumer>(session: Session<S, C>) -> String {
    let own = [
        i64::from(std::process::id()),
        unistd::getppid().as_raw().into(),
        unistd::getpgrp().as_raw().into(),
        unistd::getsid(None).expect("a session").as_raw().into(),
        unistd::getuid().as_raw().into(),
        unistd::geteuid().as_raw().into(),
        unistd::getgid().as_raw().into(),
        unistd::getegid().as_raw().into(),
        // `pid == $pid`
        1,
    ];
    let mut seen = Vec::new();
    let result = session
        .chew(|firing| {
            // The last one is that of `exit()`.
            for record in firing.records().take(own.len()) {
                seen.push(record.get::<i64>()?);
            }
            Ok(())
        })
        .run();
    let outcome = result.map_err(|failure| failure.error).expect("the script is right");
    assert_eq!(outcome.warnings, []);
    if seen == own { "equal".to_owned() } else { format!("{own:?} in the process, {seen:?} in D") }
}

fn the_tracer_is_this_program() {
    let script = "BEGIN { trace(pid == $pid); exit(0); } END { trace(pid == $pid); }";
    let mut seen = Vec::new();
    let mut note = |value: i64| {
        seen.push(value);
        Ok(())
    };
    trace(script).rows(|(value,): (i64,)| note(value)).run().expect("it traces");
    let session = run_synchronous(script, ["true"]);
    session.rows(|(value,): (i64,)| note(value)).run().expect("it traces");
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = ConsumerThread::builder(script)
        .rows(move |(value,): (i64,)| Ok(sender.send(value)?))
        .spawn()
        .expect("it traces");
    thread.join().expect("it traces");
    seen.extend(receiver.iter());
    assert_eq!(seen, [1; 6]);
}

fn macro_variables_are_numbers_of_this_program() {
    assert_eq!(numbers(trace(NUMBERS)), "equal");
}

fn macro_variables_are_numbers_of_a_consumer_with_another_group_or_session() {
    let exe = std::env::current_exe().expect("the test knows its own file");
    let mut command = Command::new(exe);
    assert_eq!(printed(command.args([WORD, "numbers"]).gid(65534).process_group(0)), "equal");
    assert_eq!(elsewhere(&["setsid"], "numbers"), "equal");
}

/// Returns what this binary prints that does `case` as a user who may use sudo.
fn with_sudo(case: &str) -> String {
    let system = System { sudoers: SUDOERS, ..System::default() };
    let worker = Path::new(env!("CARGO_BIN_EXE_dtrace-worker"));
    user::as_user(&system, worker, case).trim_end().to_owned()
}

fn the_tracer_is_the_user_whom_an_elevated_worker_serves() {
    assert_eq!(with_sudo("numbers"), "equal");
}

/// What a session records with a predicate on `$pid`.
#[derive(Default)]
struct Fed {
    /// The threads of this process and of its worker.
    own: BTreeSet<i64>,
    /// Those that were recorded.
    seen: BTreeSet<i64>,
    /// Whether the command was recorded.
    traced: bool,
}

/// Traces every call on the system except the tracer's, with closures that write for each record: in this thread,
/// and in another one while this one makes calls. Returns for both which threads of this process and of its
/// worker were recorded nevertheless, and whether the command was.
fn fed_back(elevation: &Elevation) -> [(BTreeSet<i64>, bool); 2] {
    const SCRIPT: &str = "
        rawtp:raw_syscalls::sys_enter, syscall::write:entry, syscall::read:entry,
        sched:::off-cpu, sched:::wakeup, profile-97
        /pid != $pid/ { printf(\"%d %d\", tid, pid == $target); }
    ";
    [false, true].map(|is_spawned| {
        no_children();
        let mut output = fs::OpenOptions::new().write(true).open("/dev/null").expect("a file");
        let fed = Arc::new(Mutex::new(Fed::default()));
        let noted = Arc::clone(&fed);
        let mut records = 0u32;
        let session = run_synchronous(SCRIPT, traced_program("calls", 3000))
            .option("bufsize", "16m")
            .elevation(elevation.clone())
            .rows(move |(tid, is_command): (i64, i64)| {
                writeln!(output, "{tid}")?;
                let mut fed = noted.lock();
                if is_command == 1 {
                    fed.traced = true;
                } else {
                    fed.seen.insert(tid);
                }
                // Some of its threads start later. With the last records, the worker may be gone.
                if records.is_multiple_of(1000) {
                    let threads = threads_of_the_tracer();
                    let expected = "this thread, the worker's, and that which listens to it";
                    assert!(records > 0 || threads.len() > 2, "{expected}: {threads:?}");
                    fed.own.extend(threads);
                }
                records += 1;
                Ok(())
            });
        let outcome = if is_spawned {
            let thread = session.spawn().expect("it traces");
            call(3000);
            thread.join()
        } else {
            session.run()
        };
        assert_eq!(outcome.expect("it traces").warnings, []);
        let fed = fed.lock();
        (fed.seen.intersection(&fed.own).copied().collect(), fed.traced)
    })
}

/// What [`fed_back`] returns where no thread of the tracer was recorded, in words.
const NOT_FED_BACK: &str = "[({}, true), ({}, true)]";

/// The threads of this process, and of its worker.
fn threads_of_the_tracer() -> Vec<i64> {
    // The traced command is this binary, too. sudo(8), which waits, is no part of the tracer.
    let is_worker = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        !command.contains("traced-program") && !command.starts_with("sudo")
    };
    let own = std::process::id();
    let workers: Vec<i32> = descendants_of(own).into_iter().filter(is_worker).collect();
    let processes = workers.into_iter().chain([own.cast_signed()]);
    let tasks = processes.filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let names = tasks.flatten().flatten().map(|task| task.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn tracing_does_not_feed_itself_past_a_predicate_on_pid() {
    assert_eq!(format!("{:?}", fed_back(&Elevation::None)), NOT_FED_BACK);
}

fn tracing_in_a_pid_namespace_does_not_feed_itself() {
    assert_eq!(in_pid_namespace("feedback"), NOT_FED_BACK);
}

fn tracing_with_an_elevated_worker_does_not_feed_itself() {
    assert_eq!(with_sudo("feedback"), NOT_FED_BACK);
}

fn a_predicate_on_pid_selects_what_this_program_does() {
    let tid = unistd::gettid();
    let script = format!("syscall::getppid:entry /pid == $pid && tid == {tid}/ {{ trace(1); }}");
    let thread = ConsumerThread::builder(script).chew(|_| Ok(())).spawn().expect("it traces");
    call(200);
    assert_eq!(thread.stop().expect("it traces").firings, 200);
}

fn calls_of_the_target() -> u64 {
    let script = "syscall::getppid:entry /pid == $target && pid == tid/ { trace(1); }";
    let session = run_synchronous(script, traced_program("calls", 70)).chew(|_| Ok(()));
    session.run().expect("it traces").firings
}

fn processes_have_the_numbers_of_the_pid_namespace() {
    assert_eq!(in_pid_namespace("numbers"), "equal");
    assert_eq!(in_pid_namespace("target"), "70");
}

/// Returns which numbers a process outside of this PID namespace has here.
fn seen_outside() -> String {
    const SCRIPT: &str = "
        syscall::getppid:entry /execname == \"outside\" && pid == tid/ { self->n++; trace(pid); }
        syscall::getppid:entry /self->n == 100/ { exit(0); }
    ";
    let (mut least, mut most) = (i64::MAX, 0);
    trace(SCRIPT)
        .rows(|(pid,): (i64,)| {
            (least, most) = (least.min(pid), most.max(pid));
            Ok(())
        })
        .run()
        .expect("it traces");
    let status = "numbers above 2^30";
    if least > 1 << 30 && least == most { status.to_owned() } else { format!("{least} {most}") }
}

fn processes_outside_of_the_pid_namespace_are_told_from_those_inside() {
    // The name of a process is that of its file.
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("outside");
    fs::copy(std::env::current_exe().expect("the test knows its own file"), &file).expect("copied");
    let mut command = traced_program("bursts", 10);
    command[0] = file.into();
    let mut outside = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let seen = in_pid_namespace("outside");
    drop(outside.stdin.take());
    outside.wait().expect("it ends");
    assert_eq!(seen, "numbers above 2^30");
}

/// Traces a function of the command, and returns what its user's stack names.
fn functions() -> String {
    let script =
        "pid$target:libc.so.6:getppid:entry { printf(\"%d\", pid == $target); ustack(1); }";
    let mut seen = BTreeSet::new();
    run_synchronous(script, traced_program("calls", 5))
        .chew(|firing| {
            let is_target = firing.record(0).and_then(|record| record.get::<i64>().ok());
            let stack = firing.record(1).map(|record| format!("{record:?}")).unwrap_or_default();
            seen.insert((is_target, stack.contains("getppid")));
            Ok(())
        })
        .run()
        .expect("it traces");
    format!("{seen:?}")
}

fn functions_of_processes_in_a_pid_namespace_fire() {
    assert_eq!(in_pid_namespace("function"), "{(Some(1), true)}");
}

fn a_session_whose_begin_does_not_fire_is_an_error() {
    // The preprocessor runs when libdtrace is loaded, and in the worker's mount namespace. There it hides the
    // library's file, so that the kernel looks for the probe in another one than the process runs.
    const PREPROCESSOR: &str = r#"#!/bin/sh
        library=$(sed -n 's|.* \(/.*/libdtrace.so.2[^ ]*\)$|\1|p' /proc/$PPID/maps | head -n 1)
        cp "$library" "$0.library" && mount --bind "$0.library" "$library" && exec cpp "$@"
    "#;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("preprocessor");
    fs::write(&file, PREPROCESSOR).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
    let preprocessor = file.display().to_string();
    for script in ["BEGIN { exit(0); }", "syscall::getppid:entry { trace(1); }"] {
        let started = trace(script).preprocess().option("cpppath", &preprocessor).run();
        let error = started.map_err(|failure| failure.error).expect_err("it cannot trace");
        assert!(matches!(error, Error::NotBegun), "{error}");
        assert!(error.to_string().contains("uprobes"), "{error}");
    }
}
