//! What can an attacker do who has taken over libdtrace?
//!
//! A stand-in for libdtrace makes each system call in the worker that would lead out of it. The worker is
//! killed, or the call fails. Nothing outside the worker changes.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use dtrace_consumer::{Error, Failure, trace};
use dtrace_stand_in::plan::{Argument, Fault, Misdeed, Plan, SystemCall};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::prefix::put_stand_in;
use dtrace_test_support::{Missing, live_tests};

use Argument::{Number, OwnProcess, Result as Earlier, Text, Words};

live_tests! {
    needs: [Check(the_stand_in_can_be_loaded), Root],
    tests: [
        calls_with_arguments_that_tracing_does_not_need_fail,
        a_session_that_looks_into_processes_may_attach_to_them_but_not_change_files,
        a_session_with_probes_in_processes_may_load_programs_but_not_change_files,
        a_call_that_no_session_makes_kills_the_worker,
    ],
}

/// A prefix with the stand-in, and things that an attacker would like to change.
struct Scene {
    directory: tempfile::TempDir,
    victim: Child,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        put_stand_in(directory.path());
        std::fs::write(directory.path().join("precious"), "unchanged").expect("a file");
        let victim = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn();
        Scene { directory, victim: victim.expect("sleep(1)") }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn precious(&self) -> Argument {
        Text(self.path("precious"))
    }

    fn victim(&self) -> i64 {
        self.victim.id().into()
    }

    /// Runs a session whose library makes these calls in its first `dtrace_work`. Returns the results, or how
    /// the worker ended.
    fn attack(&self, script: &str, calls: &[SystemCall]) -> Result<Vec<i64>, String> {
        let fault = Fault { call: "dtrace_work".into(), nth: 1, misdeed: Misdeed::Fail(1000) };
        let plan = Plan { faults: vec![fault], system_calls: calls.to_vec(), ..Plan::default() };
        plan.put(self.directory.path());
        match trace(script).prefix(self.directory.path()).run() {
            Err(Failure { error: Error::Libdtrace { message, .. }, .. }) => Ok(results(&message)),
            Err(Failure { error: Error::WorkerDied { status, .. }, .. }) => Err(status),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let alive = self.victim.try_wait().expect("a child").is_none();
        self.victim.kill().expect("a child");
        self.victim.wait().expect("a child");
        if !std::thread::panicking() {
            assert!(alive, "the attacker ended a process");
            let text = std::fs::read_to_string(self.path("precious"));
            assert_eq!(text.expect("the file is still there"), "unchanged");
        }
    }
}

fn the_stand_in_can_be_loaded() -> Result<(), Missing> {
    let prefix = tempfile::tempdir().expect("a directory");
    put_stand_in(prefix.path());
    Missing::of(&dtrace_consumer::preflight(Some(prefix.path())))
}

/// Parses the results that the stand-in appends to its error message.
fn results(message: &str) -> Vec<i64> {
    let Some((_, rest)) = message.split_once("stand-in error 1000") else {
        panic!("not the stand-in's message: {message}")
    };
    rest.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect()
}

fn call(number: i64, arguments: impl Into<Vec<Argument>>) -> SystemCall {
    let (within, arguments) = ("dtrace_work".to_owned(), arguments.into());
    SystemCall { within, number, arguments, ..SystemCall::default() }
}

fn numbers(number: i64, arguments: impl IntoIterator<Item = i64>) -> SystemCall {
    call(number, arguments.into_iter().map(Number).collect::<Vec<_>>())
}

fn open(path: Argument, flags: i32) -> SystemCall {
    let (directory, flags) = (Number(libc::AT_FDCWD.into()), Number(flags.into()));
    call(libc::SYS_openat, [directory, path, flags])
}

const REFUSED: i64 = -(libc::EPERM as i64);
const UNKNOWN: i64 = -(libc::ENOSYS as i64);
/// Any result that is no error.
const WORKS: i64 = 0;
/// Any result of the call itself: it works, or finds its arguments wrong.
const PASSES: i64 = 1;

/// Checks a table of calls and results against a session.
fn expect(scene: &Scene, script: &str, table: Vec<(SystemCall, i64)>) {
    let calls: Vec<SystemCall> = table.iter().map(|(call, _)| call.clone()).collect();
    let results = scene.attack(script, &calls).expect("no call kills the worker");
    assert_eq!(results.len(), calls.len());
    let wrong: Vec<_> = table
        .iter()
        .zip(results)
        .filter(|((_, right), result)| match *right {
            WORKS => *result < 0,
            PASSES => [REFUSED, UNKNOWN].contains(result),
            error => *result != error,
        })
        .collect();
    assert!(wrong.is_empty(), "{script}: (call, right), result: {wrong:#?}");
}

/// Opening files for writing, which no session does while it traces.
fn writes(scene: &Scene) -> Vec<(SystemCall, i64)> {
    let victim = scene.victim();
    let mut table = vec![
        (open(scene.precious(), libc::O_RDONLY), WORKS),
        (open(scene.precious(), libc::O_WRONLY), REFUSED),
        (open(scene.precious(), libc::O_RDWR), REFUSED),
        (open(scene.precious(), libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC), REFUSED),
        // Neither for reading nor for writing, only for ioctl(2).
        (open(scene.precious(), libc::O_ACCMODE), REFUSED),
        (call(437, [Number(libc::AT_FDCWD.into()), scene.precious()]), UNKNOWN), // openat2
    ];
    for path in [
        "/etc/passwd".to_owned(),
        "/proc/sys/kernel/core_pattern".to_owned(),
        "/proc/sysrq-trigger".to_owned(),
        "/dev/mem".to_owned(),
        "/dev/null".to_owned(),
        "/sys/kernel/debug/tracing/uprobe_events".to_owned(),
        "/proc/self/mem".to_owned(),
        format!("/proc/{victim}/mem"),
        format!("/proc/{victim}/oom_score_adj"),
        format!("/proc/1/root{}", scene.path("precious")),
        format!("/proc/{victim}/cwd/precious"),
    ] {
        table.push((open(Text(path), libc::O_WRONLY), REFUSED));
    }
    #[cfg(target_arch = "x86_64")]
    table.push((call(libc::SYS_open, [scene.precious(), Number(1)]), REFUSED));
    table
}

/// What processes do to each other.
fn on_processes(victim: i64, attach: i64, signal: i64) -> Vec<(SystemCall, i64)> {
    let continues = libc::SIGCONT.into();
    let (seize, detach) = (libc::PTRACE_SEIZE.into(), libc::PTRACE_DETACH.into());
    vec![
        (numbers(libc::SYS_kill, [victim, 0]), WORKS),
        (numbers(libc::SYS_kill, [victim, continues]), signal),
        (numbers(libc::SYS_tgkill, [victim, victim, continues]), signal),
        (numbers(libc::SYS_pidfd_open, [victim]), WORKS),
        (call(libc::SYS_pidfd_send_signal, [Earlier(0), Number(continues)]), signal),
        (numbers(libc::SYS_tkill, [victim, continues]), UNKNOWN),
        (numbers(libc::SYS_rt_sigqueueinfo, [victim, continues]), UNKNOWN),
        (numbers(libc::SYS_rt_tgsigqueueinfo, [victim, victim, continues]), UNKNOWN),
        (
            numbers(libc::SYS_process_vm_readv, [victim]),
            if attach == WORKS { WORKS } else { REFUSED },
        ),
        (numbers(libc::SYS_ptrace, [seize, victim]), attach),
        // It is not stopped.
        (numbers(libc::SYS_ptrace, [detach, victim]), if attach == WORKS { -3 } else { REFUSED }),
        (numbers(libc::SYS_setpriority, [0, victim, 1]), UNKNOWN),
        (numbers(libc::SYS_sched_setscheduler, [victim]), UNKNOWN),
        (call(libc::SYS_prlimit64, [Number(victim), Number(7), Words(vec![9, 9])]), REFUSED),
        (numbers(libc::SYS_kcmp, [victim, victim]), UNKNOWN),
        // The same calls may be made on itself.
        (call(libc::SYS_kill, [OwnProcess, Number(continues)]), WORKS),
        (call(libc::SYS_prlimit64, [OwnProcess, Number(7), Number(0), Words(vec![0, 0])]), WORKS),
    ]
}

/// Loading programs, by commands of bpf(2) with wrong arguments. The first number is the right result.
fn on_the_kernel(loads: i64) -> Vec<(SystemCall, i64)> {
    let nothing = || Words(vec![0; 16]);
    // A map, a program, a pinned object, an attached program, types, a link.
    let mut table: Vec<_> = [0, 5, 6, 8, 18, 28]
        .map(|command| (call(libc::SYS_bpf, [Number(command), nothing(), Number(128)]), loads))
        .into();
    table.push((numbers(libc::SYS_perf_event_open, [0]), loads));
    // The first element of a map that does not exist.
    let wrong_map = || Words(vec![u32::MAX.into(); 4]);
    let look_up = call(libc::SYS_bpf, [Number(1), wrong_map(), Number(32)]);
    table.push((look_up, PASSES));
    table
}

/// Calls that are not known to be needed, and other ways to make known ones.
fn unknown(scene: &Scene) -> Vec<(SystemCall, i64)> {
    const X32: i64 = 0x4000_0000;
    // FS_IOC_SETFLAGS: it would make the file immutable through a descriptor for reading.
    const SET_FLAGS: i64 = 0x4008_6602;
    vec![
        (open(scene.precious(), libc::O_RDONLY), WORKS),
        (call(libc::SYS_ioctl, [Earlier(0), Number(SET_FLAGS), Words(vec![0x10])]), UNKNOWN),
        (call(libc::SYS_ftruncate, [Earlier(1), Number(0)]), UNKNOWN),
        (call(libc::SYS_fallocate, [Earlier(2), Number(0), Number(0), Number(9)]), UNKNOWN),
        (call(libc::SYS_fcntl, [Earlier(3), Number(libc::F_SETOWN.into()), Number(1)]), UNKNOWN),
        (call(libc::SYS_fcntl, [Earlier(4), Number(libc::F_GETFD.into())]), WORKS),
        (numbers(libc::SYS_ioctl, [0, libc::TIOCSTI.cast_signed()]), UNKNOWN),
        (numbers(libc::SYS_clone3, [0, 0]), UNKNOWN),
        (numbers(libc::SYS_clone, [libc::SIGCHLD.into()]), REFUSED),
        (
            numbers(libc::SYS_clone, [(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD).into()]),
            REFUSED,
        ),
        (numbers(libc::SYS_tkill, [0, 0]), UNKNOWN),
        (numbers(libc::SYS_shmget, [0, 4096, 0o1600]), UNKNOWN),
        (call(libc::SYS_mq_open, [Text("queue".into()), Number(0o102)]), UNKNOWN),
        (numbers(libc::SYS_inotify_init1, [0]), UNKNOWN),
        (numbers(libc::SYS_fanotify_init, [0]), UNKNOWN),
        (numbers(libc::SYS_vhangup, []), UNKNOWN),
        // setxattrat, removexattrat, open_tree_attr, file_setattr
        (numbers(463, []), UNKNOWN),
        (numbers(466, []), UNKNOWN),
        (numbers(467, []), UNKNOWN),
        (numbers(469, []), UNKNOWN),
        // A call that no kernel has yet, and those of the x32 ABI: getpid, execve.
        (numbers(4000, []), UNKNOWN),
        (numbers(X32 | libc::SYS_getpid, []), UNKNOWN),
        (numbers(X32 | 520, []), UNKNOWN),
    ]
}

fn calls_with_arguments_that_tracing_does_not_need_fail() {
    let (_lock, guard) = alone();
    let scene = Scene::new();
    let mut table = writes(&scene);
    table.extend(on_processes(scene.victim(), REFUSED, REFUSED));
    table.extend(on_the_kernel(REFUSED));
    table.extend(unknown(&scene));
    expect(&scene, "BEGIN { }", table);
    drop(scene);
    guard.check();
}

fn a_session_that_looks_into_processes_may_attach_to_them_but_not_change_files() {
    let (_lock, guard) = alone();
    let scene = Scene::new();
    let mut table = writes(&scene);
    table.extend(on_processes(scene.victim(), WORKS, WORKS));
    table.extend(on_the_kernel(REFUSED));
    table.extend(unknown(&scene));
    expect(&scene, "BEGIN { ustack(); }", table);
    drop(scene);
    guard.check();
}

fn a_session_with_probes_in_processes_may_load_programs_but_not_change_files() {
    let (_lock, guard) = alone();
    let scene = Scene::new();
    let mut table = writes(&scene);
    table.extend(unknown(&scene));
    table.extend(on_the_kernel(PASSES));
    expect(&scene, "node*:::gc-start { }", table);
    drop(scene);
    guard.check();
}

/// Calls of each kind. Where a filter lets them pass, their arguments make them fail without an effect.
fn deadly(scene: &Scene) -> Vec<(&'static str, SystemCall)> {
    let precious = || scene.precious();
    let new = || Text(scene.path("new"));
    let here = || Number(libc::AT_FDCWD.into());
    let descriptor = || Number(0);
    let program = || Text("/bin/true".into());
    let create = |flag: i32| open(Text(scene.path("new")), libc::O_WRONLY | flag);
    let mut calls = vec![
        ("execve", call(libc::SYS_execve, [program()])),
        ("execveat", call(libc::SYS_execveat, [here(), program()])),
        ("create", create(libc::O_CREAT)),
        ("create for reading", open(new(), libc::O_CREAT)),
        ("truncate by open", open(precious(), libc::O_TRUNC)),
        ("temporary file", open(Text("/tmp".into()), libc::O_TMPFILE | libc::O_RDWR)),
        ("truncate", call(libc::SYS_truncate, [precious()])),
        ("mknodat", call(libc::SYS_mknodat, [here(), new(), Number(0o100_600)])),
        ("mkdirat", call(libc::SYS_mkdirat, [here(), new()])),
        ("unlinkat", call(libc::SYS_unlinkat, [here(), precious()])),
        ("linkat", call(libc::SYS_linkat, [here(), precious(), here(), new()])),
        ("symlinkat", call(libc::SYS_symlinkat, [precious(), here(), new()])),
        ("renameat2", call(libc::SYS_renameat2, [here(), precious(), here(), new()])),
        ("fchmod", call(libc::SYS_fchmod, [descriptor(), Number(0o777)])),
        ("fchmodat", call(libc::SYS_fchmodat, [here(), precious(), Number(0o777)])),
        ("fchown", call(libc::SYS_fchown, [descriptor(), Number(1)])),
        ("fchownat", call(libc::SYS_fchownat, [here(), precious(), Number(1)])),
        ("setxattr", call(libc::SYS_setxattr, [precious(), Text("user.x".into())])),
        ("lsetxattr", call(libc::SYS_lsetxattr, [precious(), Text("user.x".into())])),
        ("fsetxattr", call(libc::SYS_fsetxattr, [descriptor(), Text("user.x".into())])),
        ("removexattr", call(libc::SYS_removexattr, [precious(), Text("user.x".into())])),
        ("utimensat", call(libc::SYS_utimensat, [here(), precious()])),
        (
            "a TCP socket",
            numbers(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into()]),
        ),
        (
            "a Unix socket",
            numbers(libc::SYS_socket, [libc::AF_UNIX.into(), libc::SOCK_STREAM.into()]),
        ),
        ("sethostname", numbers(libc::SYS_sethostname, [0, -1])),
        ("setdomainname", numbers(libc::SYS_setdomainname, [0, -1])),
        ("acct", call(libc::SYS_acct, [Text("/no/such/file".into())])),
        ("kexec_load", numbers(libc::SYS_kexec_load, [0, 0, 0, -1])),
    ];
    calls.extend(of_numbers());
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    calls.extend([
        ("renameat", call(libc::SYS_renameat, [here(), precious(), here(), new()])),
        // `fchmodat2`, which the crate libc lacks for aarch64.
        ("fchmodat2", call(452, [here(), precious(), Number(0o777)])),
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        ("creat", call(libc::SYS_creat, [new()])),
        ("open", call(libc::SYS_open, [new(), Number(libc::O_CREAT.into())])),
        ("mknod", call(libc::SYS_mknod, [new(), Number(0o100_600)])),
        ("mkdir", call(libc::SYS_mkdir, [new()])),
        ("rmdir", call(libc::SYS_rmdir, [new()])),
        ("unlink", call(libc::SYS_unlink, [precious()])),
        ("link", call(libc::SYS_link, [precious(), new()])),
        ("symlink", call(libc::SYS_symlink, [precious(), new()])),
        ("rename", call(libc::SYS_rename, [precious(), new()])),
        ("chmod", call(libc::SYS_chmod, [precious(), Number(0o777)])),
        ("chown", call(libc::SYS_chown, [precious(), Number(1)])),
        ("lchown", call(libc::SYS_lchown, [precious(), Number(1)])),
        // getpid of a 32-bit program.
        ("32-bit call", SystemCall { as_32_bit: true, ..numbers(20, []) }),
    ]);
    calls
}

/// Calls that are killed whatever their arguments, which are null pointers and wrong numbers here.
fn of_numbers() -> Vec<(&'static str, SystemCall)> {
    macro_rules! calls {
        ($($name:ident),* $(,)?) => { vec![$((stringify!($name), numbers(libc::$name, []))),*] };
    }
    #[allow(unused_mut)]
    let mut calls = calls![
        SYS_mount,
        SYS_umount2,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_fsmount,
        SYS_fsconfig,
        SYS_fspick,
        SYS_mount_setattr,
        SYS_pivot_root,
        SYS_chroot,
        SYS_setns,
        SYS_unshare,
        SYS_socketpair,
        SYS_connect,
        SYS_bind,
        SYS_listen,
        SYS_accept,
        SYS_accept4,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_syslog,
        SYS_setuid,
        SYS_setgid,
        SYS_setreuid,
        SYS_setregid,
        SYS_setresuid,
        SYS_setresgid,
        SYS_setfsuid,
        SYS_setfsgid,
        SYS_setgroups,
        SYS_capset,
        SYS_personality,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_userfaultfd,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_process_vm_writev,
        SYS_pidfd_getfd,
        SYS_open_by_handle_at,
        SYS_clock_settime,
        SYS_clock_adjtime,
        SYS_settimeofday,
        SYS_adjtimex,
        SYS_quotactl,
    ];
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    calls.extend(calls![SYS_kexec_file_load]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(calls![SYS_iopl, SYS_ioperm]);
    calls
}

fn a_call_that_no_session_makes_kills_the_worker() {
    let (_lock, guard) = alone();
    let scene = Scene::new();
    let mut survived = Vec::new();
    for (name, call) in deadly(&scene) {
        match scene.attack("BEGIN { }", &[call]) {
            Err(status) if status.contains("SIGSYS") => {}
            other => survived.push((name, other)),
        }
    }
    assert!(survived.is_empty(), "{survived:#?}");
    assert!(!Path::new(&scene.path("new")).exists());
    drop(scene);
    guard.check();
}
