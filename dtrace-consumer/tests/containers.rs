//! Can a program trace that is in a container, or whose worker is in another one?
//!
//! A container has namespaces of its own for mounts, processes, IPC, host name, network and control groups, and its
//! `/proc` shows users only their own processes.

use std::path::Path;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::{Error, Failure, Outcome, run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};

live_tests! {
    needs: [Tracing, Root, Command("unshare"), Command("setpriv"), Command("sudo")],
    tests: [
        a_user_in_a_container_traces_through_sudo,
        a_user_with_capabilities_traces_in_a_container_that_hides_nothing,
        an_elevated_worker_in_another_pid_namespace_serves_nobody,
    ],
}

const CONTAINER: [&str; 7] =
    ["--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--net", "--cgroup"];

/// It hides other users' processes.
const HIDING: &str = "mount -o remount,hidepid=invisible /proc";

ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        become_the_user();
    }
}

fn become_the_user() {
    if let Some(case) = user::case() {
        sessions(&match case.as_str() {
            "unaided" => Elevation::None,
            "sudo" => Elevation::Sudo,
            words => Elevation::custom(words.split(' ')),
        });
        std::process::exit(0);
    }
}

/// Runs a session for each way in which processes have numbers.
fn sessions(elevation: &Elevation) {
    let calls = "syscall::getppid:entry /pid == $target/ { trace(1); }";
    let session = run_synchronous(calls, traced_program("calls", 7)).chew(|_| Ok(()));
    say(session.elevation(elevation.clone()).run());
    let own = format!("BEGIN /pid == {}/ {{ trace(1); }} BEGIN {{ exit(0); }}", std::process::id());
    say(trace(own).elevation(elevation.clone()).chew(|_| Ok(())).run());
    let created = "syscall::exit_group:entry /pid == $target/ { trace(1); }";
    say(trace(created).create(["true"]).elevation(elevation.clone()).chew(|_| Ok(())).run());
}

fn say(result: Result<Outcome, Failure>) {
    match result {
        Ok(outcome) => {
            println!("{} firings, {}, {:?}", outcome.firings, outcome.losses, outcome.warnings);
        }
        Err(Failure { error: Error::Refused { what, reason }, .. }) => {
            println!("refused {what}: {reason}");
        }
        Err(Failure { error, .. }) => println!("{error:#?}"),
    }
}

const TRACED: &str = "7 firings, nothing lost, []\n2 firings, nothing lost, []\n\
                      1 firings, nothing lost, []\n";

fn as_user(system: &System<'_>, case: &str) -> String {
    let (_lock, guard) = alone();
    let said = user::as_user(system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), case);
    guard.check();
    said
}

fn a_user_in_a_container_traces_through_sudo() {
    let container =
        System { commands: HIDING, namespaces: &CONTAINER, sudoers: SUDOERS, ..System::default() };
    assert_eq!(as_user(&container, "sudo"), TRACED);
}

fn a_user_with_capabilities_traces_in_a_container_that_hides_nothing() {
    let container = System {
        namespaces: &CONTAINER,
        capabilities: "+sys_admin,+dac_override",
        ..System::default()
    };
    assert_eq!(as_user(&container, "unaided"), TRACED);
    // The command has these capabilities, too.
    let said = as_user(&System { commands: HIDING, ..container }, "unaided");
    assert!(said.starts_with("Process {") && said.contains("(the mount option hidepid)"), "{said}");
    assert!(said.contains("\n2 firings, nothing lost, []\n"), "{said}");
}

/// Its numbers of processes are not the program's.
fn an_elevated_worker_in_another_pid_namespace_serves_nobody() {
    let system = System { sudoers: "nobody ALL=(root) NOPASSWD: ALL\n", ..System::default() };
    for (options, why) in [
        ("--pid --fork --mount-proc", "the consumer is in another PID namespace"),
        ("--pid --fork", "the consumer is in another PID namespace"),
    ] {
        let said = as_user(&system, &format!("sudo -n unshare {options}"));
        let lines: Vec<&str> = said.lines().collect();
        let is_refused = |line: &&str| {
            line.starts_with("refused a program whose process IDs it cannot use")
                && line.contains(why)
        };
        assert!(lines.len() == 3 && lines.iter().all(is_refused), "{options}: {said}");
    }
}
