//! What does a session say where a limit of its process is low?
//!
//! The limit is that of a consumer of its own. It either traces or names the limit; and nothing is left behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::{Error, Failure, Outcome, run_synchronous, trace};
use dtrace_test_support::consumer::descriptor_limit;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::printed::printed_by;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

live_tests! {
    serial,
    needs: [Tracing, Root, Command("prlimit")],
    tests: [
        few_open_files_are_enough_or_named,
        at_the_least_number_of_open_files_nothing_is_left_behind,
        little_memory_is_enough_or_named,
        limits_that_no_session_reaches_do_not_matter,
        small_files_are_named_and_end_nobody,
    ],
    long: [
        without_room_for_second_events_each_record_wakes_the_session,
    ],
    by_hand: [
        every_number_of_open_files_is_enough_or_named,
        every_amount_of_memory_is_enough_or_named,
    ],
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [few_processes_of_an_ordinary_user_are_enough_or_named],
}

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        if let Some(case) = user::case() {
            assert_eq!(case, "processes");
            with_few_processes();
            std::process::exit(0);
        }
    }
}

const TRACED: &str = "5 firings, nothing lost\n";

/// What a consumer of this kind says after `setup`, commands of a shell in a directory that vanishes.
fn after(setup: &str, consumer: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    printed_by(
        Command::new("sh")
            .args(["-c", &format!("{setup} && exec \"$@\""), "sh"])
            .args(traced_program("consumer", consumer))
            .current_dir(directory.path()),
    )
}

fn traces_or_names(limit: &str, setup: &str) -> bool {
    let said = after(setup, "calls");
    let named = said.starts_with("Limit {") && said.contains(limit) && said.contains("raise it");
    assert!(said == TRACED || named, "{setup}: {said}");
    named
}

fn open_files(limits: impl IntoIterator<Item = u32>) {
    let named = |limit: &u32| traces_or_names("RLIMIT_NOFILE", &descriptor_limit(*limit));
    let named: Vec<u32> = limits.into_iter().filter(named).collect();
    // The first ones cannot be enough, and libdtrace has one for each CPU.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(named.contains(&4) && named.contains(&25), "{named:?}");
    assert!(cpus > 8 || !named.contains(&64), "{named:?}");
}

fn few_open_files_are_enough_or_named() {
    open_files([4, 6, 8, 9, 11, 16, 22, 24, 25, 26, 64]);
}

fn every_number_of_open_files_is_enough_or_named() {
    // With fewer, the consumer's own program does not start.
    open_files(4..=64);
}

fn at_the_least_number_of_open_files_nothing_is_left_behind() {
    // At the lowest limits that suffice, libdtrace leaves the worker no descriptor.
    let traces = |limit: &u32| !traces_or_names("RLIMIT_NOFILE", &descriptor_limit(*limit));
    let enough = (22..64).filter(traces).take(4).count();
    assert_eq!(enough, 4);
}

/// The first line of what a consumer says, and whether it is warned.
fn woken(limit: u32, how: &str) -> (String, bool) {
    let said = after(&descriptor_limit(limit), how);
    let (first, others) = said.split_once('\n').unwrap_or_default();
    let is_warned = others.contains("records cannot wait in the kernel's buffers");
    assert!(is_warned || others.is_empty(), "{how}, {limit}: {said}");
    (first.to_owned(), is_warned)
}

fn without_room_for_second_events_each_record_wakes_the_session() {
    let (alone, is_warned) = woken(256, "woken for each");
    assert!(alone.starts_with("3000 firings, 0 lost, ") && !is_warned, "{alone}");
    let (both, is_warned) = woken(256, "woken for many");
    assert!(both.starts_with("3000 firings, 0 lost, ") && !is_warned && both != alone, "{both}");
    // From the lowest limit at which a session traces, up to the first one at which records may wait. In between, the
    // descriptors do not suffice for the first of the second events, for another one, or for what comes later.
    let mut refused = 0;
    for limit in 22..96 {
        match woken(limit, "woken for many") {
            (said, false) if said == both => break,
            (said, true) => {
                assert_eq!(said, alone, "{limit}");
                refused += 1;
            }
            (said, _) => assert!(said.contains("RLIMIT_NOFILE") && refused == 0, "{limit}: {said}"),
        }
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(refused > cpus, "{refused}");
}

fn memory(of_data: &[u32], of_addresses: &[u32]) {
    let mut named = 0;
    for (limit, option, amounts) in
        [("RLIMIT_DATA", 'd', of_data), ("RLIMIT_AS", 'v', of_addresses)]
    {
        for kibibytes in amounts {
            named += u32::from(traces_or_names(limit, &format!("ulimit -{option} {kibibytes}")));
        }
    }
    assert!(named > 0);
}

fn little_memory_is_enough_or_named() {
    memory(&[1000, 10_000], &[20_000, 50_000]);
}

fn every_amount_of_memory_is_enough_or_named() {
    let of_data = [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000];
    let of_addresses = [20_000, 30_000, 40_000, 60_000, 80_000, 120_000, 160_000, 200_000, 300_000];
    memory(&of_data, &of_addresses);
}

fn limits_that_no_session_reaches_do_not_matter() {
    // A process of root is not bound to the number of processes.
    for limit in ["--core=0", "--memlock=0", "--nproc=1", "--stack=131072", "--fsize=1024"] {
        let said = after(&format!("prlimit --pid $$ {limit}"), "calls");
        assert_eq!(said, TRACED, "{limit}");
    }
}

fn small_files_are_named_and_end_nobody() {
    assert!(traces_or_names("RLIMIT_FSIZE", "ulimit -f 0"));
    assert_eq!(after("ulimit -f 64", "recorded"), TRACED);
    let said = after("ulimit -f 1", "recorded");
    assert!(said.starts_with("Recording {") && said.contains("RLIMIT_FSIZE"), "{said}");
}

fn few_processes_of_an_ordinary_user_are_enough_or_named() {
    let (_lock, guard) = alone();
    let system = System { sudoers: SUDOERS, ..System::default() };
    let worker = Path::new(env!("CARGO_BIN_EXE_dtrace-worker"));
    let said = user::as_user(&system, worker, "processes");
    guard.check();
    let lines: Vec<&str> = said.lines().collect();
    let is_right = |line: &&str| line.ends_with(": traced") || line.ends_with(": named");
    assert!(lines.len() > 40 && lines.iter().all(is_right), "{said}");
    // One is this user's program itself.
    let of = |limit: &str| lines.iter().filter(|it| it.starts_with(limit)).collect::<Vec<_>>();
    assert_eq!([of("only one ").len(), of("enough ").len()], [4, 4], "{said}");
    assert!(of("only one ").iter().all(|it| it.ends_with("named")), "{said}");
    assert!(of("enough ").iter().all(|it| it.ends_with("traced")), "{said}");
}

/// What the user does. Whoever has fewer than it takes gets an error; nothing hangs.
fn with_few_processes() {
    // The kernel ends a test that hangs.
    nix::unistd::alarm::set(300);
    let (_, most) = getrlimit(Resource::RLIMIT_NPROC).expect("a limit");
    let now = tasks_of_this_user();
    let few = (0..=16).map(|more| (format!("{now} + {more}"), now + more));
    let ends = [("only one".to_owned(), 1), ("enough".to_owned(), now + 500)];
    for (name, limit) in ends.into_iter().chain(few) {
        for how in ["command", "output", "thread", "created"] {
            setrlimit(Resource::RLIMIT_NPROC, limit.min(most), most).expect("below the hard limit");
            let result = session(how);
            setrlimit(Resource::RLIMIT_NPROC, most, most).expect("as it was");
            let said = match result {
                Ok(outcome) if outcome.losses.is_empty() && outcome.firings == 1 => {
                    "traced".to_owned()
                }
                Err(Error::Limit { limit, .. }) if limit.contains("RLIMIT_NPROC") => {
                    "named".to_owned()
                }
                Ok(outcome) => format!("{} firings, {}", outcome.firings, outcome.losses),
                Err(error) => format!("{error:?} {error}").replace('\n', " "),
            };
            println!("{name} {how}: {said}");
        }
    }
}

fn session(how: &str) -> Result<Outcome, Error> {
    let exit = "syscall::exit_group:entry /pid == $target/ { trace(1); }";
    let result = match how {
        "command" => {
            run_synchronous(exit, ["true"]).elevation(Elevation::Sudo).chew(|_| Ok(())).run()
        }
        "created" => trace(exit).create(["true"]).elevation(Elevation::Sudo).chew(|_| Ok(())).run(),
        "output" => run_synchronous(exit, ["true"])
            .capture_output()
            .deadline(Duration::from_secs(60))
            .elevation(Elevation::Sudo)
            .chew(|_| Ok(()))
            .run(),
        _ => trace("BEGIN { trace(1); exit(0); }")
            .elevation(Elevation::Sudo)
            .chew(|_| Ok(()))
            .spawn()
            .and_then(|thread| thread.join()),
    };
    result.map_err(|Failure { error, .. }| error)
}

/// The number of processes and threads that count for this user.
fn tasks_of_this_user() -> u64 {
    let own = nix::unistd::getuid().as_raw();
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let own = processes.filter(|it| it.metadata().is_ok_and(|it| it.uid() == own));
    let threads = own.filter_map(|it| fs::read_dir(it.path().join("task")).ok());
    threads.map(|threads| threads.count() as u64).sum()
}
