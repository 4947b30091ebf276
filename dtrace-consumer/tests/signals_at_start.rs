//! Is a command held where its probes need it, although signals come while it is brought there?
//!
//! A breakpoint leads it to its entry point, and single steps lead it from there to its `main`. Each signal
//! interrupts that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dtrace_consumer::{CallbackResult, run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::children;
use dtrace_test_support::programs::compile;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing, Command("cc")],
    long: [
        a_command_is_held_although_signals_come,
    ],
}

const PROGRAM: &str = r#"
#include <stdio.h>

__attribute__((noinline)) int traced(int number) {
    __asm__ volatile("" ::: "memory");
    return number + 1;
}

int main(void) {
    int sum = 0;
    for (int i = 0; i < 5; i++)
        sum += traced(i);
    return sum == 15 ? 0 : 1;
}
"#;

/// Sends signals that are ignored to each child of this process that runs `program`, until `done`. A traced
/// process stops for such a signal, too. Counts those that come while the process is led to where it is held.
fn send_signals(program: &Path, done: &AtomicBool, met: &AtomicU64) {
    let runs =
        |pid: &i32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    while !done.load(Ordering::Relaxed) {
        for pid in children().into_iter().filter(runs) {
            while !done.load(Ordering::Relaxed) {
                let is_led = is_led(pid);
                if kill(Pid::from_raw(pid), Signal::SIGWINCH).is_err() {
                    break;
                }
                met.fetch_add(is_led.into(), Ordering::Relaxed);
            }
        }
    }
}

/// Returns whether the process is in a tracing stop of this process, which leads it. Later a worker traces it.
fn is_led(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_stopped = field("State:").is_some_and(|state| state.starts_with('t'));
    let by = field("TracerPid:").map(|thread| format!("/proc/self/task/{thread}"));
    is_stopped && by.is_some_and(|thread| Path::new(&thread).exists())
}

fn a_command_is_held_although_signals_come() {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("program");
    compile(PROGRAM, &["-O1"], &program);
    // A created process is led to its `main` even without probes on its functions.
    for is_created in [true, false] {
        // The way is so short that a session may begin before any signal comes.
        let mut sessions = (0..40).filter(|_| signals_met(&program, is_created) > 0);
        for with_signals in 0..3 {
            let met = sessions.next();
            assert!(met.is_some(), "is_created {is_created}: only {with_signals} met signals");
        }
    }
    guard.check();
}

/// Runs a session while signals are sent. Returns how many came while the program was led to where it is held.
fn signals_met(program: &Path, is_created: bool) -> u64 {
    let (done, met) = (AtomicBool::new(false), AtomicU64::new(0));
    let (firings, status) = std::thread::scope(|scope| {
        scope.spawn(|| send_signals(program, &done, &met));
        let started = |_: &_| -> CallbackResult {
            done.store(true, Ordering::Relaxed);
            Ok(())
        };
        let result = if is_created {
            let script = "syscall::exit_group:entry /pid == $target/ { trace(1); }";
            trace(script).create([program]).chew(|_| Ok(())).on_start(started).run()
        } else {
            let script = "pid$target:a.out:traced:entry { trace(1); }";
            run_synchronous(script, [program]).chew(|_| Ok(())).on_start(started).run()
        };
        done.store(true, Ordering::Relaxed);
        let outcome = result.unwrap_or_else(|failure| panic!("{is_created}: {failure}"));
        (outcome.firings, outcome.command.map(|command| command.finished()))
    });
    let expected = (if is_created { 1 } else { 5 }, Some(true));
    assert_eq!((firings, status), expected, "is_created {is_created}");
    let met = met.into_inner();
    println!("is_created {is_created}: {met} signals met");
    met
}
