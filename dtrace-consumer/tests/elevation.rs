//! What may an unprivileged user do with a worker that sudo or doas has started, and what not?
//!
//! The tests run as root, and become an ordinary user, who does what [`do_case`] says, on a system of the
//! user's own.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_consumer::elevation::{Elevation, preflight_elevated};
use dtrace_consumer::query::{ProbeQuery, SymbolQuery};
use dtrace_consumer::session::{Source, Traces};
use dtrace_consumer::{Consumer, ConsumerThread, Error, Session, run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};

live_tests! {
    needs: [Tracing, Root, Command("sudo"), Command("doas"), Command("unshare"), Command("setpriv")],
    tests: [
        an_unprivileged_user_gets_the_data_that_root_gets,
        the_command_stays_unprivileged,
    ],
    long: [
        every_entry_point_can_be_elevated,
        what_gives_no_privilege_is_an_error_that_says_what_to_do,
        a_worker_of_the_usual_kind_serves_nobody_else,
        what_an_administrator_permits_is_done_for_own_processes_only,
        an_elevated_worker_refuses_what_would_give_more_than_tracing,
        a_worker_whose_parts_others_can_change_does_not_serve,
        a_library_of_an_unknown_version_is_used_once_an_administrator_has_verified_it,
    ],
}

const DOAS: &str = "permit nopass nobody as root cmd /usr/local/libexec/dtrace-worker args serve\n";

/// The output of the user who does `case` on such a system.
fn as_user(system: &System<'_>, case: &str) -> String {
    user::as_user(system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), case)
}

ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        become_the_user();
    }
}

fn become_the_user() {
    if let Some(case) = user::case() {
        do_case(&case);
        std::process::exit(0);
    }
}

const CALLS: &str = "syscall::getppid:entry /pid == $target/ { @[probefunc] = count(); trace(1); }";

/// Runs a session around this binary, and prints what it came to.
fn calls(elevation: Elevation) {
    report(run_synchronous(CALLS, traced_program("calls", 7)), elevation);
}

fn report<S: Source + Traces, C: Consumer>(session: Session<S, C>, elevation: Elevation) {
    let (mut firings, mut counts) = (0, Vec::new());
    let result = session
        .elevation(elevation)
        .chew(|_| {
            firings += 1;
            Ok(())
        })
        .walk(|entry| {
            counts.push(format!("{}={}", entry.key::<String>(0)?, entry.number()?));
            Ok(())
        })
        .run();
    match result {
        Ok(outcome) => {
            println!("{firings} {counts:?} {:?} {}", outcome.exit, outcome.losses);
            outcome.warnings.iter().for_each(|warning| println!("{warning}"));
        }
        Err(failure) => say(&failure.error),
    }
}

fn say(error: &Error) {
    match error {
        Error::Elevation { program, problem, .. } => println!("Elevation {program} {problem:#?}"),
        Error::Refused { what, .. } => println!("Refused {what}"),
        Error::Compile(_) => println!("Compile"),
        other => println!("{other:#?}"),
    }
    println!("{error}");
}

fn say_of<T: std::fmt::Debug>(result: Result<T, impl Into<Error>>) {
    match result {
        Ok(it) => println!("{it:?}"),
        Err(error) => say(&error.into()),
    }
}

/// What the user does.
fn do_case(case: &str) {
    let sudo = || Elevation::Sudo;
    match case {
        "sudo" => calls(sudo()),
        "doas" => calls(Elevation::Doas),
        "pfexec" => calls(Elevation::Pfexec),
        "custom" => calls(Elevation::custom(["env", "sudo", "-n"])),
        "no such command" => calls(Elevation::custom(["/no/such/command"])),
        "no command" => calls(Elevation::Custom(Vec::new())),
        "command that does something else" => calls(Elevation::custom(["echo", "something else"])),
        "command that would ask" => calls(Elevation::custom(["sudo"])),
        "all ways" => all_ways(),
        "preflight" => println!("{}", preflight_elevated(&sudo(), None)),
        "who runs the command" => {
            let session = run_synchronous(
                "syscall::getppid:entry /pid == $target/ { @[\"uid\"] = max(uid); }",
                traced_program("calls", 1),
            );
            report(session, sudo());
        }
        "marker" => {
            let set =
                "export DTRACE_CONSUMER_WORKER=1:$(stat -L -c %i /proc/self/fd/0); exec \"$@\"";
            calls(Elevation::custom(["sh", "-c", set, "sh", "sudo", "-n"]))
        }
        "destructive" => {
            report(
                trace("BEGIN { system(\"echo it ran\"); exit(0); }").flag("destructive"),
                sudo(),
            );
        }
        "destructive by pragma" => {
            report(trace("#pragma D option destructive\nBEGIN { chill(1); exit(0); }"), sudo());
        }
        "libdir" => report(trace("BEGIN { exit(0); }").library_dir("/tmp"), sudo()),
        "preprocess" => {
            report(trace("#include \"/etc/shadow\"\nBEGIN { exit(0); }").preprocess(), sudo());
        }
        "write a file" => {
            let script = "BEGIN { setopt(\"ctypes\", \"/etc/written\"); exit(0); }";
            report(trace(script), sudo());
        }
        "create" => {
            let script = "syscall::exit_group:entry /pid == $target/ { @[\"uid\"] = max(uid); }";
            report(trace(script).create(["sh", "-c", "true"]), sudo());
        }
        "grab" => report(trace("BEGIN { exit(0); }").grab(1), sudo()),
        "grab own" => {
            let words = traced_program("wait", 0);
            let mut child = Command::new(&words[0])
                .args(&words[1..])
                .stdin(Stdio::piped())
                .spawn()
                .expect("it can be started");
            let script = "BEGIN { trace($target); exit(0); }";
            report(trace(script).grab(child.id().cast_signed()), sudo());
            drop(child.stdin.take());
            println!("{}", child.wait().expect("a child"));
        }
        "own functions" => {
            let script = "pid$target:libc.so.6:getppid:entry { trace(1); }";
            report(run_synchronous(script, traced_program("calls", 3)), sudo());
        }
        "prefix" => report(trace("BEGIN { exit(0); }").prefix("/tmp"), sudo()),
        "buffers" => report(trace("BEGIN { exit(0); }").option("bufsize", "1g"), sudo()),
        "by hand" => by_hand(),
        other => panic!("{other}?"),
    }
}

/// Every entry point.
fn all_ways() {
    report(trace("BEGIN { exit(3); }"), Elevation::Sudo);
    let thread = ConsumerThread::builder("BEGIN { exit(4); }").elevation(Elevation::Sudo).spawn();
    say_of(thread.and_then(|thread| {
        let outcome = thread.join()?;
        Ok(outcome.exit)
    }));
    say_of(trace("BEGIN { }").elevation(Elevation::Sudo).check().map(|programs| programs.len()));
    say_of(trace("BEGIN {").elevation(Elevation::Sudo).check().map(|programs| programs.len()));
    let probes = ProbeQuery::new().pattern("dtrace:::BEGIN").elevation(Elevation::Sudo).list();
    say_of(probes.map(|probes| probes.len()));
    let symbols = SymbolQuery::new().name("vfs_read").elevation(Elevation::Sudo).look_up();
    say_of(symbols.map(|symbols| symbols.iter().flatten().count()));
}

/// Talks to the worker as this crate would not: it names a library.
fn by_hand() {
    let (mut channel, theirs) = UnixStream::pair().expect("a pair");
    let mut worker = Command::new("sudo")
        .args(["-n", "/usr/local/libexec/dtrace-worker", "serve"])
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .expect("sudo is installed");
    let mut greeting = [0; 5];
    channel.read_exact(&mut greeting).expect("a greeting");
    let mut version = vec![0; usize::from(greeting[4])];
    channel.read_exact(&mut version).expect("a version");
    // Purpose 0, library "/tmp/evil.so", and nothing of anything else.
    let library = b"/tmp/evil.so";
    let mut job = vec![1, 0];
    job.extend((library.len() as u32).to_le_bytes());
    job.extend(library);
    // No version that is not known, and no directory of D libraries.
    job.extend([0; 2]);
    job.extend([0; 8]);
    job.push(0);
    job.extend([0; 8]);
    job.push(0);
    job.extend([0; 4]);
    job.extend([0; 3]);
    job.push(0);
    job.extend([0; 2]);
    job.extend([0; 4]);
    job.push(0);
    job.extend([0; 8]);
    let mut message = (job.len() as u32).to_le_bytes().to_vec();
    message.extend(job);
    channel.write_all(&message).expect("it listens");
    let mut answer = Vec::new();
    channel.read_to_end(&mut answer).expect("an answer");
    println!("{} {}", worker.wait().expect("a child"), String::from_utf8_lossy(&answer));
}

const PERMITTED: System<'_> = System {
    sudoers: SUDOERS,
    doas: DOAS,
    worker: "",
    commands: "",
    namespaces: &[],
    capabilities: "",
};

fn an_unprivileged_user_gets_the_data_that_root_gets() {
    let (_lock, guard) = alone();
    for way in ["sudo", "doas", "custom"] {
        assert_eq!(as_user(&PERMITTED, way), "7 [\"getppid=7\"] None nothing lost\n", "{way}");
    }
    guard.check();
}

fn every_entry_point_can_be_elevated() {
    let (_lock, guard) = alone();
    let said = as_user(&PERMITTED, "all ways");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("1 [] Some(3) nothing lost"), "{said}");
    for expected in ["Some(4)", "1", "Compile"] {
        assert_eq!(lines.next(), Some(expected), "{said}");
    }
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest[rest.len() - 2..], ["1", "1"], "{said}");
    let preflight = as_user(&PERMITTED, "preflight");
    assert!(!preflight.contains("missing"), "{preflight}");
    guard.check();
}

fn the_command_stays_unprivileged() {
    let (_lock, guard) = alone();
    let said = as_user(&PERMITTED, "who runs the command");
    assert!(said.contains("uid=65534"), "{said}");
    let said = as_user(&PERMITTED, "create");
    assert_eq!(said, "0 [\"uid=65534\"] None nothing lost\n");
    guard.check();
}

fn what_gives_no_privilege_is_an_error_that_says_what_to_do() {
    let (_lock, guard) = alone();
    let nothing = System::default();
    let password = System {
        sudoers: "nobody ALL=(root) ALL\n",
        doas: "permit nobody as root\n",
        ..System::default()
    };
    let other = System {
        sudoers: "root ALL=(root) ALL\n",
        doas: "permit nopass nobody as root cmd /bin/true\n",
        ..System::default()
    };
    let no_worker = System { commands: "rm /usr/local/libexec/dtrace-worker", ..PERMITTED };
    let only_doas =
        "mkdir /mnt/bin; ln -s $(command -v env) $(command -v setpriv) /mnt/bin; PATH=/mnt/bin";
    let no_sudo = System { commands: only_doas, ..PERMITTED };
    let worker = "/usr/local/libexec/dtrace-worker serve";
    for (system, case, sign, advice) in [
        (&password, "sudo", "Elevation sudo PasswordNeeded", "NOPASSWD: /usr/local"),
        (&other, "sudo", "Elevation sudo PasswordNeeded", "nobody ALL=(root) NOPASSWD: "),
        (&password, "doas", "Elevation doas PasswordNeeded", "permit nopass nobody as root"),
        (&other, "doas", "Elevation doas NotPermitted", "permit nopass nobody as root"),
        (&nothing, "pfexec", "pfexec is not installed", "install it"),
        (&PERMITTED, "no such command", "is not installed", "install it"),
        (&PERMITTED, "no command", "is not installed", "install it"),
        (&PERMITTED, "command that does something else", "Elevation echo Failed", worker),
        (&password, "command that would ask", "Elevation sudo Failed", worker),
        (&no_sudo, "sudo", "sudo is not installed", "install it"),
        (&no_worker, "sudo", "no dtrace-worker is installed", "install -o 0 -g 0"),
    ] {
        let said = as_user(system, case);
        assert!(said.contains(sign) && said.contains(advice), "{case}: {said}");
    }
    guard.check();
}

fn an_elevated_worker_refuses_what_would_give_more_than_tracing() {
    let (_lock, guard) = alone();
    for (case, what) in [
        ("destructive", "Refused option destructive"),
        ("destructive by pragma", "Refused option destructive"),
        ("libdir", "Refused option libdir"),
        ("preprocess", "Refused compiler flags 0x10"),
        ("write a file", "Refused setopt()"),
        ("grab", "Refused to grab a process"),
        ("grab own", "Refused to grab a process"),
        ("own functions", "Refused probes on functions of the command"),
        ("prefix", "Refused the prefix"),
        ("buffers", "Refused option bufsize"),
        ("by hand", "the library"),
    ] {
        let said = as_user(&PERMITTED, case);
        assert!(said.contains(what), "{case}: {said}");
    }
    guard.check();
}

fn a_worker_of_the_usual_kind_serves_nobody_else() {
    let (_lock, guard) = alone();
    let sudoers = format!("Defaults env_keep += DTRACE_CONSUMER_WORKER\n{SUDOERS}");
    let said = as_user(&System { sudoers: &sudoers, ..PERMITTED }, "marker");
    assert!(said.contains("the channel belongs to another user"), "{said}");
    guard.check();
}

fn what_an_administrator_permits_is_done_for_own_processes_only() {
    let (_lock, guard) = alone();
    let permitted = System { worker: "destructive = yes\ngrab = yes\n", ..PERMITTED };
    let said = as_user(&permitted, "destructive");
    // The user's own process runs it.
    assert!(said.starts_with("it ran\n1 "), "{said}");
    let said = as_user(&permitted, "grab own");
    assert_eq!(said, "1 [] Some(0) nothing lost\nexit status: 0\n");
    let said = as_user(&permitted, "own functions");
    assert_eq!(said, "3 [] None nothing lost\n");
    let said = as_user(&permitted, "grab");
    assert!(said.contains("Refused process 1\n"), "{said}");
    guard.check();
}

fn a_worker_whose_parts_others_can_change_does_not_serve() {
    let (_lock, guard) = alone();
    for (commands, part) in [
        ("chmod 666 /etc/dtrace-worker.conf", "dtrace-worker.conf"),
        ("chown nobody /usr/local/libexec/dtrace-worker", "libexec/dtrace-worker"),
        (
            "mkdir /mnt/u; chown nobody /mnt/u; echo 'prefix = /mnt/u' > /etc/dtrace-worker.conf",
            "/mnt/u",
        ),
        (
            "private_libdtrace; mkdir /mnt/u; cp -a /mnt/libdtrace /mnt/u; chown nobody /mnt/u; \
             echo 'prefix = /mnt/u/libdtrace' > /etc/dtrace-worker.conf",
            "/mnt/u",
        ),
        (
            "private_libdtrace; find /mnt/libdtrace -name libelf.so.1 -exec chmod o+w {} +",
            "is writable by users other than root",
        ),
    ] {
        let system = System { commands, ..PERMITTED };
        let said = as_user(&system, "sudo");
        let refused = said.contains("Elevation sudo Failed") && said.contains(part);
        assert!(refused, "{commands}: {said}");
    }
    guard.check();
}

fn a_library_of_an_unknown_version_is_used_once_an_administrator_has_verified_it() {
    let (_lock, guard) = alone();
    // The system's verdicts are neither read nor changed.
    let unknown = "mkdir -p /var/lib/dtrace-worker
        mount -t tmpfs -o mode=755 verdicts /var/lib/dtrace-worker
        private_libdtrace
        find /mnt/libdtrace -name 'libdtrace.so.*' -type f -exec sed -i 's/D 2[.]0[.]7/D 2.0.8/' {} +";
    let advice = "sudo /usr/local/libexec/dtrace-worker verify";
    let said = as_user(&System { commands: unknown, ..PERMITTED }, "sudo");
    assert!(said.contains("2.0.8") && said.contains(advice), "{said}");
    let command = advice.strip_prefix("sudo ").expect("an administrator's command");
    let verified = format!("{unknown}\n{command} >&2");
    let said = as_user(&System { commands: &verified, ..PERMITTED }, "sudo");
    assert_eq!(said, "7 [\"getppid=7\"] None nothing lost\n");
    // A verdict that others could have written is ignored.
    let untrusted = format!("{verified}\nchmod o+w /var/lib/dtrace-worker/verdicts");
    let said = as_user(&System { commands: &untrusted, ..PERMITTED }, "sudo");
    assert!(said.contains(advice), "{said}");
    guard.check();
}
