//! What can an elevated worker write to while a command waits at its gate?
//!
//! The worker opens the gate through a descriptor that it opened before. For that, the mount with the files of
//! processes is writable, and the rest of `/proc` is not; but no file can be opened for writing. A stand-in for
//! libdtrace makes the system calls of an attacker.

use std::path::Path;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::{Error, Failure, run_synchronous};
use dtrace_stand_in::plan::{Argument, Fault, Misdeed, PLAN, Plan, SystemCall};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::stand_in;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};

use Argument::{Number, Text};

live_tests! {
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [no_file_can_be_opened_for_writing],
}

/// The prefix with the stand-in on the user's system. The user may write the plan.
const STAND_IN: &str = "/mnt/stand-in";

/// Files that root can write to, and whether the mounts of this worker permit that.
const FILES: [(&str, bool); 8] = [
    ("/proc/1/oom_score_adj", true),
    ("/proc/sys/kernel/core_pattern", false),
    ("/proc/self/root/proc/sys/kernel/core_pattern", false),
    ("/proc/sysrq-trigger", false),
    ("/proc/irq/default_smp_affinity", false),
    ("/proc/fs/../sys/kernel/modprobe", false),
    ("/mnt/precious", false),
    ("/sys/kernel/mm/ksm/run", false),
];

/// A device, whose mount permits no use of it.
const DEVICE: &str = "/dev/full";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        if user::case().is_some() {
            attack();
            std::process::exit(0);
        }
    }
}

/// Opens each file in a worker whose session has a command at a gate, and asks whether the mounts permit it.
fn attack() {
    let on_path = |number, path: &str, last: i32| SystemCall {
        within: "dtrace_open".to_owned(),
        number,
        arguments: vec![Number(libc::AT_FDCWD.into()), Text(path.to_owned()), Number(last.into())],
        ..SystemCall::default()
    };
    let (open, ask) = (libc::SYS_openat, libc::SYS_faccessat);
    // The mounts of other processes are writable.
    let user = format!("/proc/{}/root/etc/shadow", std::process::id());
    let mut system_calls = vec![
        on_path(open, &user, libc::O_WRONLY),
        on_path(open, "/proc/1/cwd/proc/sysrq-trigger", libc::O_WRONLY),
        on_path(open, DEVICE, libc::O_WRONLY),
        on_path(open, DEVICE, libc::O_RDONLY),
    ];
    system_calls.extend(FILES.map(|(path, _)| on_path(open, path, libc::O_WRONLY)));
    system_calls.extend(FILES.map(|(path, _)| on_path(ask, path, libc::W_OK)));
    let fault = Fault { call: "dtrace_open".into(), nth: 1, misdeed: Misdeed::Fail(1000) };
    Plan { faults: vec![fault], system_calls, ..Plan::default() }.put(Path::new(STAND_IN));
    let script = "pid$target:libc.so.6:getppid:entry { }";
    let session = run_synchronous(script, traced_program("calls", 1)).elevation(Elevation::Sudo);
    match session.run() {
        Err(Failure { error: Error::Libdtrace { message, .. }, .. }) => println!("{message}"),
        other => println!("{other:?}"),
    }
}

fn no_file_can_be_opened_for_writing() {
    let (_lock, guard) = alone();
    let commands = format!(
        "mkdir -p {STAND_IN}/lib; cp '{}' {STAND_IN}/lib/libdtrace.so.2; chmod -R go-w {STAND_IN}; \
         touch {STAND_IN}/{PLAN}; chown nobody {STAND_IN}/{PLAN}; echo unchanged > /mnt/precious; \
         printf 'prefix = {STAND_IN}\\ngrab = yes\\n' > /etc/dtrace-worker.conf",
        stand_in().display()
    );
    let system = System { sudoers: SUDOERS, commands: &commands, ..System::default() };
    let said = user::as_user(&system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), "attack");
    let results =
        said.trim().strip_prefix("stand-in error 1000").unwrap_or_else(|| panic!("{said}"));
    let results: Vec<i64> =
        results.split_ascii_whitespace().map(|it| it.parse().expect("a number")).collect();
    let (opened, asked) = results.split_at(results.len() - FILES.len());
    let (refused, no_device) = (-i64::from(libc::EPERM), -i64::from(libc::EACCES));
    let mut expected = vec![refused; 4 + FILES.len()];
    expected[3] = no_device;
    assert_eq!(opened, expected, "{said}");
    for ((path, is_writable), result) in FILES.into_iter().zip(asked) {
        let expected = if is_writable { *result == 0 } else { *result == -i64::from(libc::EROFS) };
        // Where the kernel lacks a file, or lets nobody through to it, nobody can write to it.
        let other = [libc::ENOENT, libc::EACCES].map(|it| -i64::from(it)).contains(result);
        assert!(expected || (other && !is_writable), "{path}: {result}");
    }
    guard.check();
}
