//! What can a user do to other users' processes through an elevated worker?
//!
//! The worker may read what the kernel shows of them, but not control them. A process of root
//! constantly checks who traces it. Meanwhile root watches whose memory the worker opens.

use std::collections::BTreeSet;
use std::path::Path;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::query::ProbeQuery;
use dtrace_consumer::session::{Source, Traces};
use dtrace_consumer::{Consumer, Error, Script, Session, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::user::{self, SUDOERS, System};
use nix::sys::signal::{SigSet, Signal};

live_tests! {
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [
        naming_the_functions_of_a_process_does_not_control_it,
    ],
    long: [
        nothing_that_names_a_process_controls_it,
        who_may_grab_controls_only_own_processes,
    ],
}

/// The first argument of this binary as the process that looks at itself.
const WATCHFUL: &str = "watchful";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        let words: Vec<String> = std::env::args().collect();
        if let [_, word, user, file] = &words[..] && word == WATCHFUL {
            watch_itself(user, Path::new(file));
            std::process::exit(0);
        }
        if let Some(case) = user::case() {
            let (way, pid) = case.rsplit_once(' ').expect("a way and a process");
            go(way, pid);
            std::process::exit(0);
        }
    }
}

/// Calls getppid(2) and looks at itself until the process `user` ends. Then writes to the file what has happened
/// to it.
fn watch_itself(user: &str, file: &Path) {
    // A stopped process is continued by this signal, which stays pending.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCONT);
    signals.thread_block().expect("it can be blocked");
    std::fs::write(file, std::process::id().to_string()).expect("it can be written");
    let mut happened = BTreeSet::new();
    while Path::new("/proc").join(user).exists() {
        nix::unistd::getppid();
        let status = std::fs::read_to_string("/proc/self/status").expect("it exists");
        let of_interest = ["TracerPid:\t", "SigPnd:\t", "ShdPnd:\t"];
        for line in status.lines() {
            let value = of_interest.iter().find_map(|name| line.strip_prefix(name));
            if value.is_some_and(|value| value.chars().any(|c| c != '0')) {
                happened.insert(line.to_owned());
            }
        }
    }
    let happened = if happened.is_empty() { UNTOUCHED.to_owned() } else { format!("{happened:?}") };
    std::fs::write(file, happened).expect("it can be written");
}

const UNTOUCHED: &str = "nothing happened";

/// What the user does with a process.
fn go(way: &str, pid: &str) {
    let of_it = "syscall::getppid:entry /pid == $1/";
    let with = |action: &str| Script::from(format!("{of_it} {{ {action} }}")).args([pid]);
    let by_pid = format!("pid{pid}:libc.so.6:getppid:entry {{ exit(0); }}");
    match way {
        "ustack" => report(trace(with("ustack(); exit(0);"))),
        "actions" => report(trace(with(
            "uaddr(uregs[R_PC]); usym(uregs[R_PC]); umod(uregs[R_PC]); ufunc(uregs[R_PC]);
             exit(0);",
        ))),
        "jstack" => report(trace(with("jstack(); exit(0);"))),
        "printf" => report(trace(with("printf(\"%A\", uregs[R_PC]); exit(0);"))),
        "printa" => {
            report(trace(with("@[uaddr(uregs[R_PC])] = count(); printa(\"%A %@d\", @); exit(0);")))
        }
        "keys" => report(trace(with(
            "@[ustack(), uaddr(uregs[R_PC]), usym(uregs[R_PC]), umod(uregs[R_PC])] = count();
             @f[ufunc(uregs[R_PC])] = count(); printa(@f); exit(0);",
        ))),
        "pid" => report(trace(by_pid.as_str())),
        "pid by argument" => {
            report(trace(Script::from("pid$1:libc.so.6:getppid:entry { exit(0); }").args([pid])))
        }
        "usdt" => check(&format!("shop{pid}::: {{ exit(0); }}")),
        "usdt pattern" => check("shop*::: { exit(0); }"),
        "check" => check(&by_pid),
        "matched" => say(trace(by_pid.as_str()).matched_probes().elevation(Elevation::Sudo).list()),
        "list" => {
            for pattern in
                [format!("pid{pid}:libc.so.6:getppid:"), format!("shop{pid}:::"), "shop*:::".into()]
            {
                say(ProbeQuery::new()
                    .pattern(pattern)
                    .describe()
                    .elevation(Elevation::Sudo)
                    .list());
            }
        }
        "grab" => report(trace("BEGIN { exit(0); }").grab(pid.parse().expect("a pid"))),
        other => panic!("{other}?"),
    }
}

fn check(script: &str) {
    say(trace(script).allow_zero_matches().elevation(Elevation::Sudo).check());
}

fn say<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Ok(it) => println!("{it:?}"),
        Err(error) => println!("{error:?}\n{error}"),
    }
}

fn report<S: Source + Traces, C: Consumer>(session: Session<S, C>) {
    let mut text = String::new();
    let mut keys = Vec::new();
    let result = session
        .elevation(Elevation::Sudo)
        .out(|output| {
            text.push_str(&output.to_string());
            Ok(())
        })
        .walk(|entry| {
            keys.extend(entry.keys().map(|key| format!("{key:?}")));
            Ok(())
        })
        .run();
    println!("{text} {keys:#?}");
    say(result.map(|outcome| outcome.exit).map_err(|failure| failure.error));
}

/// Processes, and how root's shell starts them. libdtrace leaves only daemons of the system alone by itself.
const PROCESSES: [(&str, &str); 4] = [
    ("a daemon of root's", "\"$TEST\" WATCHFUL"),
    ("root's at a terminal", "script -qec \"$TEST WATCHFUL\" /dev/null"),
    ("another user's", "setpriv --reuid 1234 --regid 1234 --clear-groups \"$TEST\" WATCHFUL"),
    ("the user's own", "setpriv --reuid 65534 --regid 65534 --clear-groups \"$TEST\" WATCHFUL"),
];

/// Returns what the user's way came to, and what has happened meanwhile to the process that `start` starts.
fn outcome_of(way: &str, start: &str, worker: &str) -> (String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("happened");
    let start = start.replace("WATCHFUL", &format!("{WATCHFUL} $$ {}", file.display()));
    let (directory, file_name) = (directory.path().display(), file.display());
    // The last line is what dtprobed(8) would do for a program with probes.
    let commands = format!(
        "chmod 777 {directory}
        {start} < /dev/null > /dev/null 2>&1 &
        until test -s {file_name}; do sleep 0.01; done
        pid=$(cat {file_name})
        CASE=\"$CASE $pid\"
        mount -t tmpfs run /run; mkdir -p /run/dtrace/probes/$pid/shop$pid/it"
    );
    let system = System { sudoers: SUDOERS, worker, commands: &commands, ..System::default() };
    let said = user::as_user(&system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), way);
    (said, std::fs::read_to_string(&file).expect("it wrote it"))
}

fn naming_the_functions_of_a_process_does_not_control_it() {
    let (_lock, guard) = alone();
    for (whose, start) in PROCESSES {
        let (said, happened) = outcome_of("ustack", start, "");
        assert!(said.contains("libc.so.6`getppid+0x"), "{whose}: {said}");
        assert_eq!(happened, UNTOUCHED, "{whose}");
    }
    guard.check();
}

/// Goes each way with each of these processes, and expects this of it. Nothing may happen to them.
fn leaves_alone(processes: &[(&str, &str)], worker: &str, ways: &[(&str, &str)]) {
    for ((whose, start), (way, outcome)) in
        processes.iter().flat_map(|process| ways.iter().map(move |way| (process, way)))
    {
        let (said, happened) = outcome_of(way, start, worker);
        assert!(said.contains(outcome), "{whose}, {way}: {said}");
        assert_eq!(happened, UNTOUCHED, "{whose}, {way}");
    }
}

fn nothing_that_names_a_process_controls_it() {
    let (_lock, guard) = alone();
    let ways = [
        ("actions", "libc.so.6`getppid"),
        // libdtrace 2.0.7 only parses it.
        ("jstack", "jstack() is not implemented"),
        // Only the target's addresses, and those of keys.
        ("printf", "incompatible with conversion"),
        ("printa", "libc.so.6`getppid"),
        ("keys", "libc.so.6`getppid"),
        ("pid", "does not match any probes"),
        ("pid by argument", "does not match any probes"),
        ("usdt", "shop"),
        ("usdt pattern", "shop"),
        ("check", "matches: 0"),
        ("matched", "does not match any probes"),
        ("list", "[]"),
        ("grab", "refuses to grab a process"),
    ];
    leaves_alone(&PROCESSES, "", &ways);
    guard.check();
}

fn who_may_grab_controls_only_own_processes() {
    let (_lock, guard) = alone();
    let ways = [
        ("ustack", "libc.so.6`getppid+0x"),
        ("pid", "does not match any probes"),
        ("usdt pattern", "shop"),
        ("grab", "it does not belong to user 65534"),
    ];
    leaves_alone(&PROCESSES[..3], "grab = yes\n", &ways);
    let (said, happened) = outcome_of("pid", PROCESSES[3].1, "grab = yes\n");
    assert!(said.contains("Some(0)"), "{said}");
    assert!(happened.contains("TracerPid"), "{happened}");
    guard.check();
}
