//! What can an elevated worker do before it traces, while libdtrace compiles its user's script?
//!
//! An ordinary user runs sessions through sudo, on a system of its own: with the real libdtrace, which must
//! find all that it needs, and with a stand-in that makes the system calls of an attacker.

use std::path::Path;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::query::{ProbeQuery, SymbolQuery, TypeQuery};
use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_stand_in::plan::{Argument, Fault, Misdeed, PLAN, Plan, SystemCall};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::stand_in;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};

use Argument::{Number, Result as Earlier, Text, Words};

live_tests! {
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [
        libdtrace_finds_what_it_needs_in_a_confined_worker,
        before_tracing_nothing_can_be_changed_but_the_kernels_tracing_files,
        before_tracing_only_a_worker_that_may_grab_controls_other_processes,
    ],
}

/// The prefix with the stand-in on the user's system. The user may write the plan.
const STAND_IN: &str = "/mnt/stand-in";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        become_the_user();
    }
}

fn become_the_user() {
    let Some(case) = user::case() else { return };
    match case.as_str() {
        "trace" => sessions(),
        "attack" => attacks(&always(), &KINDS),
        "control" => attacks(&control(Fate::Refused), &KINDS),
        // Landlock also forbids this to sessions without a process.
        "control-with-grab" => attacks(&control(Fate::Passes), &KINDS[1..]),
        other => panic!("{other}?"),
    }
    std::process::exit(0);
}

fn as_user(commands: &str, case: &str) -> String {
    let system = System { sudoers: SUDOERS, commands, ..System::default() };
    user::as_user(&system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), case)
}

/// Scripts for a command that calls getppid() three times. Each is a way in which libdtrace uses the system.
/// The number of the call is that of the architecture.
const SCRIPTS: [&str; 5] = [
    "syscall::getppid:entry /pid == $target/ { trace(execname); }",
    "rawtp:::sys_enter /pid == $target && arg1 == GETPPID/ { @[pid == $target] = count(); }",
    "syscall::getppid:entry /pid == $target/ { stack(); ustack(); }",
    "syscall::getppid:entry /pid == $target/ { @[usym(ucaller), umod(ucaller)] = count(); }",
    "proc:::exit /pid == $target/ { trace(args[0]); }",
];

/// What the user does with the real libdtrace.
fn sessions() {
    for script in SCRIPTS {
        let script = script.replace("GETPPID", &libc::SYS_getppid.to_string());
        let (mut texts, mut entries) = (String::new(), 0);
        let result = run_synchronous(script, traced_program("calls", 3))
            .elevation(Elevation::Sudo)
            .out(|output| {
                texts.push_str(&output.text());
                Ok(())
            })
            .walk(|_| {
                entries += 1;
                Ok(())
            })
            .run();
        let named = if texts.contains("libc.so.6`") { " named" } else { "" };
        match result {
            Ok(outcome) => println!("{} {entries} {}{named}", outcome.firings, outcome.losses),
            Err(failure) => println!("{}", failure.error),
        }
    }
    // Without a target, Landlock confines it where the kernel has it.
    let exit = trace("BEGIN { exit(3); } END { trace(probefunc); }")
        .elevation(Elevation::Sudo)
        .chew(|_| Ok(()))
        .run();
    println!("{:?}", exit.map(|outcome| (outcome.exit, outcome.firings)));
    let probes = ProbeQuery::new().pattern("syscall::read:entry").elevation(Elevation::Sudo).list();
    println!("{:?}", probes.map(|probes| probes.len()));
    let symbols = SymbolQuery::new().name("vfs_read").elevation(Elevation::Sudo).look_up();
    println!("{:?}", symbols.map(|symbols| symbols.iter().flatten().count()));
    let types = TypeQuery::new().name("struct file").elevation(Elevation::Sudo).look_up();
    println!("{:?}", types.map(|types| types.iter().flatten().count()));
}

fn libdtrace_finds_what_it_needs_in_a_confined_worker() {
    let (_lock, guard) = alone();
    let said = as_user("", "trace");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "3 0 nothing lost",
            "0 1 nothing lost",
            "3 0 nothing lost named",
            "0 1 nothing lost",
            "1 0 nothing lost",
            "Ok((Some(3), 2))",
            "Ok(1)",
            "Ok(1)",
            "Ok(1)",
        ],
        "{said}"
    );
    guard.check();
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The worker is killed.
    Killed,
    /// The kernel refuses it.
    Refused,
    /// It works, or the kernel finds its arguments wrong.
    Passes,
}

fn call(number: i64, arguments: impl Into<Vec<Argument>>) -> SystemCall {
    let (within, arguments) = ("dtrace_open".to_owned(), arguments.into());
    SystemCall { within, number, arguments, ..SystemCall::default() }
}

fn open(path: &str, flags: i32) -> SystemCall {
    let here = Number(libc::AT_FDCWD.into());
    call(libc::SYS_openat, [here, Text(path.to_owned()), Number(flags.into())])
}

/// Whether the mount permits writing to a file, which the kernel tells without opening it.
fn access(path: &str) -> SystemCall {
    let here = Number(libc::AT_FDCWD.into());
    call(libc::SYS_faccessat, [here, Text(path.to_owned()), Number(libc::W_OK.into())])
}

/// Scripts of sessions that libdtrace needs different things for: nothing of processes, names in them, a command.
const KINDS: [&str; 3] =
    ["BEGIN { }", "BEGIN { ustack(); }", "syscall::getppid:entry /pid == $target/ { }"];

/// The fate of the last of these calls.
fn fate(script: &str, calls: &[SystemCall]) -> Fate {
    let fault = Fault { call: "dtrace_open".into(), nth: 1, misdeed: Misdeed::Fail(1000) };
    let plan = Plan { faults: vec![fault], system_calls: calls.to_vec(), ..Plan::default() };
    plan.put(Path::new(STAND_IN));
    let refusals = [libc::EPERM, libc::EACCES, libc::EROFS, libc::ENOSYS].map(|it| -i64::from(it));
    let result = if script.contains("$target") {
        run_synchronous(script, traced_program("calls", 1)).elevation(Elevation::Sudo).run()
    } else {
        trace(script).elevation(Elevation::Sudo).run()
    };
    match result {
        Err(Failure { error: Error::WorkerDied { status, .. }, .. })
            if status.contains("SIGSYS") || status.contains("159") =>
        {
            Fate::Killed
        }
        Err(Failure { error: Error::Libdtrace { message, .. }, .. }) => {
            let result = message.split_ascii_whitespace().last().and_then(|last| last.parse().ok());
            let result: i64 = result.expect("the stand-in appends the results");
            if refusals.contains(&result) { Fate::Refused } else { Fate::Passes }
        }
        other => panic!("{calls:?}: {other:?}"),
    }
}

const PRECIOUS: &str = "/mnt/precious";

/// What every elevated worker may and may not do before it traces.
fn always() -> Vec<(&'static str, Vec<SystemCall>, Fate)> {
    let precious = || Text(PRECIOUS.to_owned());
    let here = || Number(libc::AT_FDCWD.into());
    let load = [Number(5), Words(vec![0; 16]), Number(128)];
    vec![
        ("read", vec![open(PRECIOUS, libc::O_RDONLY)], Fate::Passes),
        ("write", vec![open(PRECIOUS, libc::O_WRONLY)], Fate::Refused),
        ("append", vec![open(PRECIOUS, libc::O_WRONLY | libc::O_APPEND)], Fate::Refused),
        (
            "core pattern",
            vec![open("/proc/sys/kernel/core_pattern", libc::O_WRONLY)],
            Fate::Refused,
        ),
        ("kernel parameter", vec![open("/sys/kernel/mm/ksm/run", libc::O_WRONLY)], Fate::Refused),
        ("other process", vec![open("/proc/1/oom_score_adj", libc::O_WRONLY)], Fate::Refused),
        ("device", vec![open("/dev/full", libc::O_RDWR)], Fate::Refused),
        ("null device", vec![open("/dev/null", libc::O_WRONLY)], Fate::Refused),
        // libdtrace is given what was opened before.
        (
            "uprobes",
            vec![open("/sys/kernel/debug/tracing/uprobe_events", libc::O_WRONLY | libc::O_APPEND)],
            Fate::Refused,
        ),
        // The mounts of the user's process are writable, and root may write to these files.
        ("by another root", vec![open(&through_user(PRECIOUS), libc::O_WRONLY)], Fate::Refused),
        (
            "passwords by another root",
            vec![open(&through_user("/etc/shadow"), libc::O_RDWR)],
            Fate::Refused,
        ),
        ("mount", vec![access(PRECIOUS)], Fate::Refused),
        ("mount of proc", vec![access("/proc/sys/kernel/core_pattern")], Fate::Refused),
        ("mount of processes", vec![access("/proc/1/oom_score_adj")], Fate::Refused),
        ("mount of sys", vec![access("/sys/kernel/mm/ksm/run")], Fate::Refused),
        ("mount of devices", vec![open("/dev/full", libc::O_RDONLY)], Fate::Refused),
        ("load a program", vec![call(libc::SYS_bpf, load)], Fate::Passes),
        (
            "attributes by a descriptor for reading",
            vec![
                open(PRECIOUS, libc::O_RDONLY),
                call(libc::SYS_ioctl, [Earlier(0), Number(0x4008_6602), Words(vec![0x10])]),
            ],
            Fate::Refused,
        ),
        ("create", vec![open("/mnt/new", libc::O_WRONLY | libc::O_CREAT)], Fate::Killed),
        ("truncate", vec![call(libc::SYS_truncate, [precious()])], Fate::Killed),
        ("unlink", vec![call(libc::SYS_unlinkat, [here(), precious()])], Fate::Killed),
        (
            "chmod",
            vec![call(libc::SYS_fchmodat, [here(), precious(), Number(0o666)])],
            Fate::Killed,
        ),
        ("exec", vec![call(libc::SYS_execve, [Text("/bin/true".into())])], Fate::Killed),
        ("fork", vec![call(libc::SYS_clone, [Number(libc::SIGCHLD.into())])], Fate::Refused),
        ("socket", vec![call(libc::SYS_socket, [Number(1), Number(1)])], Fate::Killed),
        ("mount", vec![call(libc::SYS_mount, [])], Fate::Killed),
        ("namespace", vec![call(libc::SYS_setns, [])], Fate::Killed),
        ("module", vec![call(libc::SYS_finit_module, [])], Fate::Killed),
        ("io_uring", vec![call(libc::SYS_io_uring_setup, [])], Fate::Killed),
    ]
}

/// A path that leads to a file by way of the user's process.
fn through_user(path: &str) -> String {
    format!("/proc/{}/root{path}", std::process::id())
}

/// What a worker may do to other processes only if the administrator permits grabbing.
fn control(fate: Fate) -> Vec<(&'static str, Vec<SystemCall>, Fate)> {
    let user = i64::from(std::process::id());
    let (seize, continues) = (Number(libc::PTRACE_SEIZE.into()), Number(libc::SIGCONT.into()));
    let (from, to) = (Words(vec![0; 2]), Words(vec![0; 2]));
    vec![
        ("attach", vec![call(libc::SYS_ptrace, [seize, Number(user)])], fate),
        (
            "read memory",
            vec![call(libc::SYS_process_vm_readv, [Number(user), to, Number(1), from, Number(1)])],
            fate,
        ),
        ("signal", vec![call(libc::SYS_kill, [Number(user), continues.clone()])], fate),
        (
            "signal by descriptor",
            vec![
                call(libc::SYS_pidfd_open, [Number(user)]),
                call(libc::SYS_pidfd_send_signal, [Earlier(0), continues]),
            ],
            fate,
        ),
    ]
}

/// What the user does with the stand-in. Prints the fates that are wrong.
fn attacks(ways: &[(&str, Vec<SystemCall>, Fate)], kinds: &[&str]) {
    for script in kinds {
        for (name, calls, right) in ways {
            let fate = fate(script, calls);
            if fate != *right {
                println!("{script} {name}: {fate:?} instead of {right:?}");
            }
        }
    }
    println!("done");
}

/// What the user prints who does this on a system with the stand-in.
fn with_stand_in(configuration: &str, case: &str) -> String {
    let stand_in = stand_in();
    let commands = format!(
        "mkdir -p {STAND_IN}/lib; cp '{}' {STAND_IN}/lib/libdtrace.so.2; chmod -R go-w {STAND_IN}; \
         touch {STAND_IN}/{PLAN}; chown nobody {STAND_IN}/{PLAN}; \
         echo unchanged > {PRECIOUS}; chmod 644 {PRECIOUS}; \
         printf 'prefix = {STAND_IN}\\n{configuration}' > /etc/dtrace-worker.conf",
        stand_in.display()
    );
    as_user(&commands, case)
}

fn before_tracing_nothing_can_be_changed_but_the_kernels_tracing_files() {
    let (_lock, guard) = alone();
    assert_eq!(with_stand_in("", "attack"), "done\n");
    guard.check();
}

fn before_tracing_only_a_worker_that_may_grab_controls_other_processes() {
    let (_lock, guard) = alone();
    assert_eq!(with_stand_in("", "control"), "done\n");
    assert_eq!(with_stand_in("grab = yes\\n", "control-with-grab"), "done\n");
    guard.check();
}
