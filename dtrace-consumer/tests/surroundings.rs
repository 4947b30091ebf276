//! Can the user's process trace in any state?
//!
//! A program traces in each of many surroundings. Either it gets the same data as elsewhere, or an error that
//! names what is wrong and what to do, before anything has started. It never hangs, and what it
//! learns about its command is true.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};

use dtrace_test_support::kernel::keeps_statuses;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;
use dtrace_test_support::processes::{Killed, orphans_ended, wait_until};
use dtrace_test_support::surroundings::{self, RESULT};
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        a_program_that_ignores_its_children_learns_how_its_command_ends,
        another_thread_may_wait_for_all_children,
        a_worker_that_cannot_be_started_is_an_error_whoever_waits_for_it,
        standard_descriptors_may_be_closed,
        the_programs_name_may_be_cut_within_a_character,
    ],
    long: [
        signals_may_be_handled_in_any_way,
        every_standard_descriptor_may_be_closed,
        what_a_program_does_with_its_processes_does_not_matter,
        the_programs_file_may_change_while_it_runs,
    ],
    needs: [Tracing, Root, Command("unshare")],
    tests: [
        a_foreign_proc_and_a_user_namespace_are_told_before_anything_starts,
        a_container_is_no_obstacle,
    ],
    long: [
        a_chroot_is_no_obstacle_and_its_missing_proc_is_named,
        a_file_system_that_forbids_execution_since_is_named,
    ],
    needs: [Tracing, Command("strace")],
    tests: [
        a_tracer_that_follows_children_is_named,
    ],
    needs: [Tracing, Root, Command("sudo"), Command("strace"), Command("unshare"), Command("setpriv")],
    tests: [
        a_program_with_an_elevated_worker_may_be_in_any_state_too,
        a_tracer_that_keeps_sudo_from_becoming_root_is_named,
    ],
}

/// What a user's program begins its case with that a tracer is to start.
const STRACED: &str = "strace, ";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        if let Some(case) = user::case() {
            as_user(&case);
        }
    }
}

/// Traces as an ordinary user with an elevated worker, and prints what that program says.
fn as_user(case: &str) -> ! {
    if let Some(how) = case.strip_prefix(STRACED) {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null"]).args(std::env::args_os().take(2)).arg(how);
        panic!("strace(1) starts: {}", strace.exec());
    }
    // The standard output may be closed.
    let output = std::io::stdout().as_fd().try_clone_to_owned().expect("another descriptor of it");
    let said = surroundings::elevated(case);
    File::from(output).write_all(said.as_bytes()).expect("it can be printed");
    exit(0)
}

/// What each program says that traces as usual.
const TRACED: &str = "1 firing, exit status: 3; 1 firing, exit status: 3; 1 firing, exit status: 3; \
                      1 firing, exit status: 0; 1 firing, no command; out\\n, error\\n; \
                      1 probe, 1 symbol";

/// A copy of this test's program, which may be changed, and a file for its result.
struct Program {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl Program {
    fn new(name: &'static str) -> Program {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let program = Program { directory, name };
        fs::copy(&traced_program("", "")[0], program.file()).expect("a copy of this program");
        program
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    /// Returns what the program says in the surroundings that it makes itself, `how`, below those that
    /// `launcher` makes, the beginning of its command line.
    fn says(&self, launcher: &[&str], how: &str) -> String {
        let result = self.directory.path().join("result");
        let words = traced_program("surrounded", how);
        let mut words: Vec<_> = launcher.iter().map(Into::into).chain(words).collect();
        words[launcher.len()] = self.file().into();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env(RESULT, &result).stdin(Stdio::null());
        if let Some(prefix) = prefix::private() {
            command.env("DTRACE_CONSUMER_PREFIX", prefix);
        }
        let child = command.stderr(Stdio::null()).spawn().expect("the program starts");
        let mut child = Killed(child);
        let what = format!("{launcher:?} {how}: the program has ended");
        wait_until(&what, || child.0.try_wait().expect("a child").is_some());
        fs::read_to_string(result).unwrap_or_else(|error| panic!("{launcher:?} {how}: {error}"))
    }
}

/// Returns what a program says; see [`Program::says`].
fn says(launcher: &[&str], how: &str) -> String {
    let (_lock, guard) = alone();
    let said = Program::new("program").says(launcher, how);
    orphans_ended();
    guard.check();
    said
}

fn all_trace(surroundings: &[&str]) {
    for how in surroundings {
        assert_eq!(says(&[], how), TRACED, "{how}");
    }
}

fn a_program_that_ignores_its_children_learns_how_its_command_ends() {
    for how in ["SIGCHLD ignored", "no zombies"] {
        traced_except_for_statuses(&says(&[], how), IGNORED);
    }
    let usual = says(&[], "no program, as it is");
    assert!(usual.starts_with("command: cannot start /no/such/program: "), "{usual}");
    for how in ["SIGCHLD ignored", "no zombies", "children waited for elsewhere"] {
        assert_eq!(says(&[], &format!("no program, {how}")), usual);
    }
}

fn another_thread_may_wait_for_all_children() {
    traced_except_for_statuses(&says(&[], "children waited for elsewhere"), TAKEN_ELSEWHERE);
}

/// Which commands' statuses may be unknown where the kernel does not keep them and another thread waits: those of all that
/// are not traced to their ends.
const TAKEN_ELSEWHERE: &[usize] = &[0, 2, 3];

/// The same where SIGCHLD is ignored: that of the command whose functions are traced. libdtrace is attached to it.
const IGNORED: &[usize] = &[2];

/// Checks what a program says. The statuses `unknown` may be so where the kernel does not keep them.
fn traced_except_for_statuses(said: &str, unknown: &[usize]) {
    if keeps_statuses() {
        assert_eq!(said, TRACED);
        return;
    }
    let [told, expected] = [said, TRACED].map(|it| it.split("; ").collect::<Vec<_>>());
    assert_eq!(told.len(), expected.len(), "{said}");
    for (at, (told, expected)) in told.iter().zip(&expected).enumerate() {
        let is_unknown = unknown.contains(&at) && *told == "1 firing, unknown status";
        assert!(is_unknown || told == expected, "{said}");
    }
}

/// The standard library panics if something else has waited for a child whose start has failed.
fn a_worker_that_cannot_be_started_is_an_error_whoever_waits_for_it() {
    let usual = says(&[], "no worker, as it is");
    assert!(usual.contains("Permission denied"), "{usual}");
    for how in ["SIGCHLD ignored", "no zombies", "children waited for elsewhere"] {
        assert_eq!(says(&[], &format!("no worker, {how}")), usual, "{how}");
    }
}

fn standard_descriptors_may_be_closed() {
    all_trace(&["closed 0 1 2"]);
}

fn the_programs_name_may_be_cut_within_a_character() {
    let (_lock, guard) = alone();
    // The system keeps 15 bytes of it.
    assert_eq!(Program::new("fourteen-bytesé").says(&[], "as it is"), TRACED);
    guard.check();
}

fn every_standard_descriptor_may_be_closed() {
    all_trace(&["closed 0", "closed 1", "closed 2", "closed 0 1", "closed 0 2", "closed 1 2"]);
}

fn signals_may_be_handled_in_any_way() {
    all_trace(&["as it is", "SIGINT ignored", "SIGPIPE default", "a timer", "all signals blocked"]);
}

fn what_a_program_does_with_its_processes_does_not_matter() {
    all_trace(&["forks that stay", "a reaper of orphans", "not dumpable", "memory locked"]);
}

fn the_programs_file_may_change_while_it_runs() {
    all_trace(&["deleted", "renamed", "replaced"]);
}

/// A shell script in a mount namespace of its own, which ends by starting the program.
fn after<'s>(setup: &'s str, words: &[&'s str]) -> Vec<&'s str> {
    [&["unshare", "--mount", "sh", "-c", setup, "sh"], words].concat()
}

fn a_chroot_is_no_obstacle_and_its_missing_proc_is_named() {
    let chroot = r#"mount --make-rprivate / && mount --rbind / /mnt && exec chroot /mnt "$@""#;
    assert_eq!(says(&after(chroot, &[]), "as it is"), TRACED);
    let without = r#"mount --make-rprivate / && mount --rbind / /mnt && umount -l /mnt/proc
        exec chroot /mnt "$@""#;
    let said = says(&after(without, &[]), "as it is");
    assert!(said.starts_with("unavailable: ") && said.contains("mount /proc"), "{said}");
    assert!(!said.contains("CAP_SYS_ADMIN") && !said.contains("CONFIG_DEBUG_FS"), "{said}");
}

fn a_file_system_that_forbids_execution_since_is_named() {
    let setup = r#"mount --make-rprivate / && mount -t tmpfs t /mnt && cp "$1" /mnt/program || exit
        shift; exec /mnt/program "$@""#;
    let said = says(&after(setup, &[]), "noexec");
    assert!(said.starts_with("start of the worker: ") && said.contains("noexec"), "{said}");
}

fn a_foreign_proc_and_a_user_namespace_are_told_before_anything_starts() {
    let said = says(&["unshare", "--pid", "--fork"], "as it is");
    assert!(said.starts_with("unavailable: ") && said.contains("PID namespace"), "{said}");
    let said = says(&["unshare", "--user", "--map-root-user"], "as it is");
    assert!(said.starts_with("unavailable: ") && said.contains("user namespace"), "{said}");
}

/// Its namespaces are all its own, except for that of users, and its `/proc` hides other users' processes.
fn a_container_is_no_obstacle() {
    let hiding = r#"mount -o remount,hidepid=invisible /proc && exec "$@""#;
    let container = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup"];
    let container =
        [&container[..], &["--fork", "--mount-proc", "sh", "-c", hiding, "sh"]].concat();
    assert_eq!(says(&container, "as it is"), TRACED);
}

fn a_tracer_that_follows_children_is_named() {
    let said = says(&["strace", "-f", "-o", "/dev/null"], "as it is");
    assert!(said.starts_with("command: ") && said.contains("(strace) already traces"), "{said}");
    assert!(said.contains("; 1 firing, no command; command: "), "{said}");
}

/// Returns what an ordinary user's program says whose worker is elevated.
fn says_elevated(how: &str) -> String {
    let (_lock, guard) = alone();
    let system = System { sudoers: SUDOERS, worker: "grab = yes\n", ..System::default() };
    let said = user::as_user(&system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), how);
    guard.check();
    said
}

fn a_program_with_an_elevated_worker_may_be_in_any_state_too() {
    for how in ["closed 0 1 2", "all signals blocked", "a reaper of orphans"] {
        assert_eq!(says_elevated(how), TRACED, "{how}");
    }
    traced_except_for_statuses(&says_elevated("SIGCHLD ignored"), IGNORED);
    traced_except_for_statuses(&says_elevated("children waited for elsewhere"), TAKEN_ELSEWHERE);
}

fn a_tracer_that_keeps_sudo_from_becoming_root_is_named() {
    let said = says_elevated(&format!("{STRACED}as it is"));
    let (_, spawned) = said.split_once("elevation: ").unwrap_or_else(|| panic!("{said}"));
    assert!(spawned.starts_with("sudo did not start the worker: "), "{said}");
    assert!(spawned.contains("(strace) traces this program; "), "{said}");
}
