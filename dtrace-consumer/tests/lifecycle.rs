//! How do sessions begin and end, also when something dies?
//!
//! Every test leaves nothing behind, which is checked; so they run one after the other.

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dtrace_consumer::{ConsumerThread, Error, Failure, run_synchronous};
use dtrace_test_support::consumer::{Consumer, Stage};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, is_stopped, orphans_ended, wait_until};
use dtrace_test_support::traced::{call, calls_of_this_thread, traced_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

live_tests! {
    needs: [Tracing],
    tests: [
        tracing_is_on_when_spawn_returns_and_complete_when_stop_returns,
        join_returns_when_the_script_calls_exit,
        a_worker_that_is_killed_is_an_error_and_the_next_session_works,
        a_consumer_that_is_killed_leaves_no_worker_behind,
    ],
    long: [
        a_stop_handle_works_from_another_thread_and_more_than_once,
        a_session_that_is_dropped_while_it_runs_delivers_first,
        stop_after_the_script_has_called_exit_is_no_error,
        sessions_run_side_by_side,
        commands_run_under_tracing_side_by_side,
        a_worker_that_was_stopped_for_a_while_goes_on,
        a_failed_start_leaves_nothing_behind,
        the_command_is_waited_for_after_exit,
        a_process_forked_off_in_the_middle_does_not_keep_a_session_from_ending,
        sessions_follow_each_other,
    ],
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        what_a_worker_has_in_the_kernel_is_seen_and_gone_at_the_end,
        what_another_process_holds_for_a_moment_is_gone_at_the_end,
        a_worker_is_confined_while_it_traces,
    ],
    long: [a_worker_that_is_stuck_ends_after_its_consumer],
}

fn counting(script: &str) -> (ConsumerThread, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let thread = ConsumerThread::builder(script)
        .chew(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .spawn()
        .expect("tracing can be started");
    (thread, count)
}

fn tracing_is_on_when_spawn_returns_and_complete_when_stop_returns() {
    let (_lock, guard) = alone();
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    call(1000);
    let outcome = thread.stop().expect("the session comes to its end");
    call(10);
    assert_eq!((count.load(Ordering::Relaxed), outcome.firings), (1000, 1000));
    assert!(outcome.losses.is_empty());
    guard.check();
}

#[cfg(target_os = "linux")]
fn what_a_worker_has_in_the_kernel_is_seen_and_gone_at_the_end() {
    let (_lock, guard) = alone();
    let (thread, _) = counting(&calls_of_this_thread("@ = count();"));
    // What every other check relies on.
    wait_until("its programs and maps are seen", || guard.kernel_objects() > 1);
    thread.stop().expect("the session comes to its end");
    guard.check();
}

/// The numbers of the worker's descriptors that keep tracing on.
#[cfg(target_os = "linux")]
fn perf_events(worker: Pid) -> Vec<i32> {
    let descriptors = fs::read_dir(format!("/proc/{worker}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[perf_event]")
        })
        .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(target_os = "linux")]
fn what_another_process_holds_for_a_moment_is_gone_at_the_end() {
    let (_lock, guard) = alone();
    let (thread, _) = counting("BEGIN { trace(1); }");
    let worker = worker();
    let process = rustix::process::Pid::from_raw(worker.as_raw()).expect("a pid");
    let process = rustix::process::pidfd_open(process, PidfdFlags::empty()).expect("it is there");
    // As lsof(8) holds them while it looks.
    let hold = |fd| rustix::process::pidfd_getfd(&process, fd, PidfdGetfdFlags::empty());
    let held: Vec<OwnedFd> = perf_events(worker).into_iter().flat_map(hold).collect();
    assert!(held.len() > 2, "{held:?}");
    thread.stop().expect("the session comes to its end");
    wait_until("the worker has closed them", || perf_events(worker).is_empty());
    // Meanwhile the worker tries in vain to remove its events.
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop((held, process));
    guard.check();
}

fn a_stop_handle_works_from_another_thread_and_more_than_once() {
    let (_lock, guard) = alone();
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    call(10);
    let handle = thread.stop_handle();
    let again = handle.clone();
    std::thread::spawn(move || {
        handle.stop();
        handle.stop();
    });
    again.stop();
    thread.join().expect("the session comes to its end");
    again.stop();
    assert_eq!(count.load(Ordering::Relaxed), 10);
    guard.check();
}

fn a_session_that_is_dropped_while_it_runs_delivers_first() {
    let (_lock, guard) = alone();
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    call(100);
    drop(thread);
    assert_eq!(count.load(Ordering::Relaxed), 100);
    guard.check();
}

fn join_returns_when_the_script_calls_exit() {
    let (_lock, guard) = alone();
    let (thread, count) = counting("BEGIN { trace(1); exit(3); } END { trace(2); }");
    let handle = thread.stop_handle();
    let outcome = thread.join().expect("the session comes to its end");
    assert_eq!((outcome.exit, count.load(Ordering::Relaxed)), (Some(3), 2));
    handle.stop();
    guard.check();
}

fn stop_after_the_script_has_called_exit_is_no_error() {
    let (_lock, guard) = alone();
    let (thread, count) = counting("BEGIN { exit(4); }");
    wait_until("the session has ended by itself", || thread.is_finished());
    let outcome = thread.stop().expect("the session has come to its end");
    assert_eq!((outcome.exit, count.load(Ordering::Relaxed)), (Some(4), 1));
    guard.check();
}

fn sessions_follow_each_other() {
    let (_lock, guard) = alone();
    for round in 0..100 {
        let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
        call(round);
        thread.stop().expect("the session comes to its end");
        assert_eq!(count.load(Ordering::Relaxed), round as u64);
    }
    guard.check();
}

fn sessions_run_side_by_side() {
    let (_lock, guard) = alone();
    let sessions: Vec<_> = (0..8).map(|_| counting(&calls_of_this_thread("trace(1);"))).collect();
    call(50);
    for (thread, count) in sessions {
        thread.stop().expect("the session comes to its end");
        assert_eq!(count.load(Ordering::Relaxed), 50);
    }
    guard.check();
}

fn commands_run_under_tracing_side_by_side() {
    let (_lock, guard) = alone();
    std::thread::scope(|scope| {
        for calls in [10, 20, 30, 40] {
            scope.spawn(move || {
                let outcome = run_synchronous(
                    "syscall::getppid:entry /pid == $target/ { trace(1); }",
                    traced_program("calls", calls),
                )
                .chew(|_| Ok(()))
                .run()
                .expect("the session comes to its end");
                assert_eq!(outcome.firings, calls);
            });
        }
    });
    guard.check();
}

/// The only child of this process, which is the worker.
fn worker() -> Pid {
    let [pid] = children()[..] else { panic!("{:?}", children()) };
    Pid::from_raw(pid)
}

fn a_worker_that_is_killed_is_an_error_and_the_next_session_works() {
    let (_lock, guard) = alone();
    let (thread, _) = counting(&calls_of_this_thread("trace(1);"));
    kill(worker(), Signal::SIGKILL).expect("the worker is there");
    let result = thread.join();
    let Err(Failure { error: Error::WorkerDied { status, .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert!(status.contains("SIGKILL"), "{status}");
    assert!(outcome.session.is_some());
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    call(5);
    thread.stop().expect("the session comes to its end");
    assert_eq!(count.load(Ordering::Relaxed), 5);
    guard.check();
}

#[cfg(target_os = "linux")]
fn a_worker_is_confined_while_it_traces() {
    let (_lock, guard) = alone();
    let (thread, _) = counting(&calls_of_this_thread("trace(1);"));
    let worker = worker();
    let status = |task: &str, name: &str| -> String {
        let status = fs::read_to_string(format!("/proc/{worker}/task/{task}/status"));
        let status = status.expect("the worker is there");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(String::new, |value| value.trim().to_owned())
    };
    for task in fs::read_dir(format!("/proc/{worker}/task")).expect("it is there").flatten() {
        let task = task.file_name().to_string_lossy().into_owned();
        assert_eq!(status(&task, "NoNewPrivs:"), "1");
        // A filter.
        assert_eq!(status(&task, "Seccomp:"), "2");
        let capabilities = u64::from_str_radix(&status(&task, "CapPrm:"), 16).expect("a mask");
        // To administrate the system it needs; to load modules, or to change users, not.
        let may = |number: u32| capabilities >> number & 1 == 1;
        assert_eq!((may(21), may(16), may(7)), (true, false, false), "{capabilities:x}");
    }
    // Nothing that this process has open was inherited, but the channel and standard error.
    let descriptors = fs::read_dir(format!("/proc/{worker}/fd")).expect("it is there").flatten();
    let ours = fs::read_link("/proc/self/exe").expect("it is there");
    let directory = ours.parent().expect("a directory").to_owned();
    for descriptor in descriptors {
        let to = fs::read_link(descriptor.path()).unwrap_or_default();
        assert!(!to.starts_with(&directory), "{}", to.display());
    }
    thread.stop().expect("the session comes to its end");
    guard.check();
}

/// Holds the thread that is in libdtrace, so that it seems to be stuck there.
#[cfg(target_os = "linux")]
fn a_worker_that_is_stuck_ends_after_its_consumer() {
    let (_lock, guard) = alone();
    let consumer = consumer(Stage::Running);
    let worker = consumer.worker();
    nix::sys::ptrace::seize(worker, nix::sys::ptrace::Options::empty()).expect("it can be held");
    nix::sys::ptrace::interrupt(worker).expect("it can be held");
    drop(consumer.kill());
    orphans_ended();
    guard.check();
}

fn a_worker_that_was_stopped_for_a_while_goes_on() {
    let (_lock, guard) = alone();
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    let worker = worker();
    kill(worker, Signal::SIGSTOP).expect("the worker is there");
    wait_until("the worker is stopped", || is_stopped(worker.as_raw()));
    call(500);
    kill(worker, Signal::SIGCONT).expect("the worker is there");
    let outcome = thread.stop().expect("the session comes to its end");
    assert_eq!(count.load(Ordering::Relaxed) + outcome.losses.total_drops(), 500);
    guard.check();
}

/// A consumer of a command that ends by itself when its input does.
fn consumer(stage: Stage) -> Consumer {
    let mut words = traced_program("consumer", "");
    words.pop();
    Consumer::start(words, stage, "wait")
}

fn a_consumer_that_is_killed_leaves_no_worker_behind() {
    let (_lock, guard) = alone();
    drop(consumer(Stage::Running).kill());
    orphans_ended();
    guard.check();
}

fn a_failed_start_leaves_nothing_behind() {
    let (_lock, guard) = alone();
    for script in ["BEGIN { nothing(); }", "BEGIN {", "no_such:::probe { }"] {
        run_synchronous(script, traced_program("wait", 0)).run().expect_err("it cannot work");
        ConsumerThread::builder(script).spawn().expect_err("it cannot work");
    }
    run_synchronous("BEGIN { }", ["true"]).worker("/bin/true").run().expect_err("it is no worker");
    guard.check();
}

fn the_command_is_waited_for_after_exit() {
    let (_lock, guard) = alone();
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    let mut ours = Some(ours);
    let outcome = run_synchronous("BEGIN { exit(0); }", traced_program("wait", 0))
        .configure_command(|command| {
            command.stdin(theirs);
        })
        .chew(|_| {
            // It may end now.
            ours.take();
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(outcome.exit, Some(0));
    assert!(outcome.command.is_some_and(|command| command.finished()));
    guard.check();
}

fn a_process_forked_off_in_the_middle_does_not_keep_a_session_from_ending() {
    let (_lock, guard) = alone();
    let (thread, count) = counting(&calls_of_this_thread("trace(1);"));
    // SAFETY: the child does nothing but wait for the signal that kills it.
    let child = match unsafe { nix::unistd::fork() }.expect("it can be forked") {
        nix::unistd::ForkResult::Child => loop {
            nix::unistd::pause();
        },
        nix::unistd::ForkResult::Parent { child } => child,
    };
    call(10);
    // The child has this process's end of the channel, too.
    thread.stop().expect("the session comes to its end");
    assert_eq!(count.load(Ordering::Relaxed), 10);
    wait_until("the worker has ended", || children() == [child.as_raw()]);
    kill(child, Signal::SIGKILL).expect("it waits");
    nix::sys::wait::waitpid(child, None).expect("a child");
    guard.check();
}
