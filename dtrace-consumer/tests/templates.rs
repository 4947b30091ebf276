//! What do the sessions of a program share, and what not?
//!
//! A program's first session leaves an idle process behind, of which the workers of later ones are copies. What a
//! session delivers must not depend on which kind of worker it has.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{Error, StopHandle, cool_down, run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;
use dtrace_test_support::processes::{Killed, descendants_of, lives, wait_until};
use dtrace_test_support::traced::traced_program;

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        later_sessions_are_copies_of_one_process,
        an_idle_process_ends_on_request_and_with_the_program,
        a_program_that_is_warm_has_an_idle_process_before_its_first_session,
        what_a_new_worker_would_inherit_is_what_a_copy_has,
        a_copy_that_is_killed_is_reported_with_its_signal,
        what_is_delivered_does_not_depend_on_the_sessions_before,
        copies_trace_at_the_same_time,
        a_template_that_is_gone_or_stopped_does_no_harm,
        a_program_that_cools_down_while_it_warms_up_is_cold,
        a_session_that_is_to_end_before_it_starts_leaves_no_process_behind,
        nothing_is_kept_of_a_template_that_has_ended,
    ],
}

/// Runs a session. Returns the processes that this program has started, during the session and after it.
fn processes_of_a_session() -> (Vec<i32>, Vec<i32>) {
    let here = std::process::id();
    let mut during = Vec::new();
    trace("BEGIN { trace(1); exit(0); }")
        .chew(|_| {
            during = living(here);
            Ok(())
        })
        .run()
        .expect("a session");
    assert!(!during.is_empty(), "a record has arrived");
    // The worker goes on closing for a while.
    let mut after = Vec::new();
    wait_until("the session's worker has ended", || {
        after = living(here);
        after.len() == 1
    });
    (during, after)
}

fn later_sessions_are_copies_of_one_process() {
    let (_lock, guard) = alone();
    let (during, idle) = processes_of_a_session();
    assert!(during.contains(&idle[0]), "the first worker has left it behind: {during:?} {idle:?}");
    for _ in 0..2 {
        let (during, after) = processes_of_a_session();
        assert_eq!(after, idle);
        let copies: Vec<_> = during.into_iter().filter(|pid| !idle.contains(pid)).collect();
        assert_eq!(copies.len(), 1, "one worker");
        assert!(!lives(copies[0]), "it ends with its session");
    }
    guard.check();
}

fn an_idle_process_ends_on_request_and_with_the_program() {
    let (_lock, guard) = alone();
    let (_, idle) = processes_of_a_session();
    cool_down();
    wait_until_ended(&idle);
    // Another program that traces, and is then killed.
    let program = traced_program("consumer", "idle");
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(prefix) = prefix::private() {
        command.env("DTRACE_CONSUMER_PREFIX", prefix);
    }
    let mut child = Killed(command.spawn().expect("the program starts"));
    let mut line = String::new();
    let stdout = child.0.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    assert_eq!(line, "traced\n");
    // The idle process has lost its parent, and this program is the one of orphans.
    let mut theirs = Vec::new();
    wait_until("the program's worker has ended", || {
        theirs = living(std::process::id());
        theirs.retain(|pid| pid.unsigned_abs() != child.0.id());
        theirs.len() == 1
    });
    drop(child);
    wait_until_ended(&theirs);
    guard.check();
}

/// Waits until processes have ended. This program is the parent of orphans, and reaps them later.
fn wait_until_ended(processes: &[i32]) {
    for pid in processes {
        wait_until(&format!("process {pid} has ended"), || !lives(*pid));
    }
}

/// The processes that a program has started and that have not ended.
fn living(program: u32) -> Vec<i32> {
    descendants_of(program).into_iter().filter(|pid| lives(*pid)).collect()
}

fn a_program_that_is_warm_has_an_idle_process_before_its_first_session() {
    let (_lock, guard) = alone();
    let session = trace("BEGIN { trace(execname); exit(0); }").warm_up();
    let mut idle = Vec::new();
    wait_until("libdtrace is open", || {
        idle = living(std::process::id());
        idle.len() == 1 && is_idle(idle[0])
    });
    session.run().expect("a session");
    let mut after = Vec::new();
    wait_until("the session's worker has ended", || {
        after = living(std::process::id());
        after.len() == 1
    });
    assert_eq!(after, idle, "its worker was a copy");
    guard.check();
}

/// Whether the process has libdtrace open for nobody: it has no channel to a consumer, only the socket for requests.
/// A worker that leaves no idle process behind has one socket, too, its channel.
fn is_idle(pid: i32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let sockets = sockets(pid.unsigned_abs());
    maps.contains("libdtrace.so") && sockets.len() == 1 && is_for_messages(pid, sockets[0])
}

/// The numbers of a process's open sockets.
fn sockets(pid: u32) -> Vec<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let refers_to = descriptors.filter_map(|fd| fs::read_link(fd.path()).ok());
    let number =
        |to: PathBuf| to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    refers_to.filter_map(number).collect()
}

/// Whether a socket of a process is for whole messages, like that for requests, and no stream, like a channel.
fn is_for_messages(pid: i32, socket: u64) -> bool {
    const SEQPACKET: &str = "0005";
    let all = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    all.lines().any(|line| {
        // Its address, count of references, protocol, flags, type, state and number.
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(4) == Some(&SEQPACKET) && words.get(6) == Some(&socket.to_string().as_str())
    })
}

fn what_a_new_worker_would_inherit_is_what_a_copy_has() {
    let (_lock, guard) = alone();
    let (_, first) = processes_of_a_session();
    let (_, second) = processes_of_a_session();
    assert_eq!(first, second, "nothing has changed");
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o7));
    let (_, third) = processes_of_a_session();
    nix::sys::stat::umask(mask);
    assert_ne!(first, third, "a copy would have the old umask");
    let (_, third) = processes_of_a_session();
    wait_until_ended(&first);
    let directory = std::env::current_dir().expect("a directory");
    std::env::set_current_dir("/").expect("the root");
    let (_, fourth) = processes_of_a_session();
    std::env::set_current_dir(directory).expect("it was there");
    assert_ne!(third, fourth, "a copy would have the old directory");
    guard.check();
}

fn a_copy_that_is_killed_is_reported_with_its_signal() {
    let (_lock, guard) = alone();
    let (_, idle) = processes_of_a_session();
    let failure = trace("BEGIN { trace(1); } tick-1ms { trace(2); }")
        .chew(|_| {
            for pid in living(std::process::id()) {
                if !idle.contains(&pid) {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
                }
            }
            Ok(())
        })
        .run()
        .expect_err("its worker is killed");
    let Error::WorkerDied { status, .. } = &failure.error else { panic!("{failure}") };
    assert_eq!(status, "ended (signal: 9 (SIGKILL))");
    let (_, after) = processes_of_a_session();
    assert_eq!(after, idle, "the next session is a copy again");
    guard.check();
}

/// Scripts that need libdtrace to read this or that, and some that do not compile.
const KINDS: [&str; 13] = [
    "BEGIN { trace(1); }",
    "BEGIN { trace(execname != \"\"); }",
    "BEGIN { trace(((struct task_struct *)curthread)->pid > 0); }",
    "BEGIN { trace(`jiffies > 0); }",
    "BEGIN { trace(SIGKILL); }",
    "BEGIN { trace($pid == pid); trace($ppid); }",
    "BEGIN { @a = count(); @b[probename] = sum(3); printa(@a); }",
    "syscall::exit_group:entry /pid == $target/ { trace(probefunc); }",
    "rawtp:::sched_process_exit /pid == $target/ { trace(probename); }",
    "proc:::exec-success /pid == $target/ { trace(args[0] != NULL); }",
    "pid$target::main:entry { trace(probefunc); }",
    "BEGIN { no_such_variable; }",
    "BEGIN { trace(1) }}",
];

/// What a session with such a script delivers.
fn delivered(script: &str) -> String {
    let mut text = String::new();
    let result = run_synchronous(script, traced_program("calls", 3))
        .deadline(Duration::from_secs(60))
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .run();
    match result {
        Ok(outcome) => format!("{script}: {text}; {}, {}", outcome.firings, outcome.losses),
        Err(failure) => format!("{script}: {failure}"),
    }
}

fn what_is_delivered_does_not_depend_on_the_sessions_before() {
    let (_lock, guard) = alone();
    let alone = KINDS.map(|script| {
        cool_down();
        delivered(script)
    });
    processes_of_a_session();
    let idle = living(std::process::id());
    let one_by_one = KINDS.map(delivered);
    assert_eq!(one_by_one, alone);
    assert!(living(std::process::id()).contains(&idle[0]), "they were copies");
    let mut backwards = KINDS;
    backwards.reverse();
    let mut one_by_one = backwards.map(delivered);
    one_by_one.reverse();
    assert_eq!(one_by_one, alone);
    guard.check();
}

/// Each session has its own command, whose end is one of the events that wake its libdtrace.
fn copies_trace_at_the_same_time() {
    let (_lock, guard) = alone();
    processes_of_a_session();
    let one = |calls: u64| {
        let script = "syscall::getppid:entry /pid == $target/ { @ = count(); }";
        let mut counted = 0;
        let outcome = run_synchronous(script, traced_program("calls", calls))
            .walk(|entry| {
                counted = entry.number()?;
                Ok(())
            })
            .run()
            .expect("a session");
        (counted, outcome.command.expect("it had a command").finished())
    };
    std::thread::scope(|scope| {
        let sessions: Vec<_> =
            (1..=8).map(|calls| (calls, scope.spawn(move || one(calls * 10)))).collect();
        for (calls, session) in sessions {
            let counted = i64::try_from(calls * 10).expect("small");
            assert_eq!(session.join().expect("no panic"), (counted, true));
        }
    });
    guard.check();
}

fn a_template_that_is_gone_or_stopped_does_no_harm() {
    let (_lock, guard) = alone();
    let signal = |pid: i32, signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it is there");
    };
    let (_, idle) = processes_of_a_session();
    signal(idle[0], nix::sys::signal::Signal::SIGKILL);
    let (_, second) = processes_of_a_session();
    assert_ne!(idle, second);
    // It answers too late: what it gets of the next session has ended by then.
    signal(second[0], nix::sys::signal::Signal::SIGSTOP);
    let said = delivered(KINDS[0]);
    signal(second[0], nix::sys::signal::Signal::SIGCONT);
    assert_eq!(said, delivered(KINDS[0]));
    wait_until_ended(&second);
    guard.check();
}

fn a_program_that_cools_down_while_it_warms_up_is_cold() {
    let (_lock, guard) = alone();
    drop(trace("BEGIN { }").warm_up());
    cool_down();
    wait_until("a process has begun", || !living(std::process::id()).is_empty());
    wait_until("no process is left", || living(std::process::id()).is_empty());
    guard.check();
}

/// A start that is dropped is such a session, and may come after a program has cooled down.
fn a_session_that_is_to_end_before_it_starts_leaves_no_process_behind() {
    let (_lock, guard) = alone();
    let stop = StopHandle::new();
    stop.stop();
    let outcome = trace("BEGIN { }").stop_handle(&stop).run().expect("it starts and ends");
    assert_eq!(outcome.ended_by, EndedBy::Stop);
    let left = || living(std::process::id());
    wait_until("its worker has ended", || left().into_iter().all(is_idle));
    assert_eq!(left(), [0; 0]);
    guard.check();
}

fn nothing_is_kept_of_a_template_that_has_ended() {
    let (_lock, guard) = alone();
    let sockets = || sockets(std::process::id()).len();
    let before = sockets();
    let (_, idle) = processes_of_a_session();
    assert!(sockets() > before, "its requests go through one");
    let idle = nix::unistd::Pid::from_raw(idle[0]);
    nix::sys::signal::kill(idle, nix::sys::signal::Signal::SIGKILL).expect("it is there");
    wait_until("its socket is closed", || sockets() == before);
    guard.check();
}
