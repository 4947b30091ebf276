//! A process that confines itself is ended at what it may not do.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use ::landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use nix::errno::Errno;

use super::*;

const DO: &str = "DTRACE_CONSUMER_TEST_CONFINED";

const NOTHING: Reach = Reach { target: false, memory: false, process_probes: false };

/// Runs this test again in a process that confines itself and performs one action.
#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn a_confined_process_is_ended_at_what_it_may_not_do() {
    if let Ok(what) = std::env::var(DO) {
        confine(Threads::All, NOTHING).expect("confining this process");
        match what.as_str() {
            "read" => drop(std::fs::read("/proc/self/status").expect("reading is allowed")),
            "thread" => std::thread::spawn(|| ()).join().expect("threads are allowed"),
            "exec" => drop(Command::new("/bin/true").exec()),
            "process" => {
                let refused = Command::new("/bin/true").status().expect_err("it cannot start");
                assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
            }
            "create" => drop(std::fs::File::create("/dev/null")),
            "connect" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
            other => panic!("{other}?"),
        }
        crate::worker::own_process::end(0);
    }
    let name = "a_confined_process_is_ended_at_what_it_may_not_do";
    for (what, signal) in [
        ("read", None),
        ("thread", None),
        ("process", None),
        ("exec", Some(libc::SIGSYS)),
        ("create", Some(libc::SIGSYS)),
        ("connect", Some(libc::SIGSYS)),
    ] {
        let exe = std::env::current_exe().expect("this test's executable");
        let done = Command::new(exe).arg(name).env(DO, what).output().expect("starting the test");
        assert_eq!(done.status.signal(), signal, "{what}: {done:?}");
    }
}

/// Runs a test again in another process, which confines itself.
fn in_another_process(name: &str, case: &str) {
    let exe = std::env::current_exe().expect("this test's executable");
    let done = Command::new(exe).arg(name).env(DO, case).output().expect("starting the test");
    assert_eq!(done.status.code(), Some(77), "{case}: {done:?}");
}

fn opened_for_writing() -> Result<(), Errno> {
    let opened = File::options().write(true).open("/dev/null");
    opened.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn signalled(signal: Option<nix::sys::signal::Signal>) -> Result<(), Errno> {
    nix::sys::signal::kill(nix::unistd::getppid(), signal)
}

/// Opens a file of another process for reading. Only who may look into a process may open these.
fn read_of_parent(file: &str) -> Result<(), Errno> {
    let opened = File::open(format!("/proc/{}/{file}", nix::unistd::getppid()));
    opened.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// Attaches to a process that does not exist: the filter comes first.
fn attached() -> Result<(), Errno> {
    let nobody = nix::unistd::Pid::from_raw(i32::MAX);
    nix::sys::ptrace::seize(nobody, nix::sys::ptrace::Options::empty())
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn before_it_traces_an_elevated_worker_opens_nothing_for_writing_and_controls_only_with_permission()
{
    let name = "before_it_traces_an_elevated_worker_opens_nothing_for_writing_and_controls_only_with_permission";
    if let Ok(may_control) = std::env::var(DO) {
        let reach = Reach { memory: true, ..NOTHING };
        confine_before_opening(reach, may_control == "true").expect("confining this process");
        assert_eq!(opened_for_writing(), Err(Errno::EPERM));
        File::open("/dev/null").expect("reading is allowed");
        assert_eq!(read_of_parent("root/dev/null"), Ok(()), "by way of other processes, too");
        if nix::unistd::geteuid().is_root() {
            assert_eq!(read_of_parent("mem"), Ok(()), "and their memory");
        }
        let limits = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
        let nobody = rustix::process::Pid::from_raw(i32::MAX);
        let limited = rustix::process::prlimit(nobody, rustix::process::Resource::Nofile, limits);
        assert_eq!(limited.err(), Some(rustix::io::Errno::PERM));
        let (control, signal) = match may_control.as_str() {
            "true" => (Err(Errno::ESRCH), Ok(())),
            _ => (Err(Errno::EPERM), Err(Errno::EPERM)),
        };
        assert_eq!(attached(), control);
        assert_eq!(signalled(Some(nix::sys::signal::Signal::SIGCONT)), signal);
        assert_eq!(signalled(None), Ok(()), "whether a process exists may be asked");
        crate::worker::own_process::end(77);
    }
    in_another_process(name, "true");
    in_another_process(name, "false");
}

/// Returns whether the kernel's Landlock is at least of this version. Each has rights that the one before lacks.
fn has_landlock(version: ABI) -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = match version {
        ABI::V6 => ruleset.scope(Scope::Signal),
        _ => ruleset.handle_access(AccessFs::from_all(version)),
    };
    ruleset.and_then(Ruleset::create).is_ok()
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn landlock_alone_forbids_writing_programs_and_other_processes_and_newer_versions_signals() {
    let name =
        "landlock_alone_forbids_writing_programs_and_other_processes_and_newer_versions_signals";
    if std::env::var_os(DO).is_some() {
        let (first, sixth) = (has_landlock(ABI::V1), has_landlock(ABI::V6));
        landlock::forbid_writing().expect("what the kernel lacks is left out");
        let forbidden = |by: bool, errno| if by { Err(errno) } else { Ok(()) };
        assert_eq!(opened_for_writing(), forbidden(first, Errno::EACCES));
        let started = Command::new("/bin/true").status();
        let refused = started.err().and_then(|error| error.raw_os_error());
        assert_eq!(refused, first.then_some(libc::EACCES));
        assert_eq!(read_of_parent("root/dev/null"), forbidden(first, Errno::EACCES));
        if first {
            assert_eq!(read_of_parent("mem"), Err(Errno::EACCES));
        }
        let signal = Some(nix::sys::signal::Signal::SIGCONT);
        assert_eq!(signalled(signal), forbidden(sixth, Errno::EPERM));
        crate::worker::own_process::end(77);
    }
    in_another_process(name, "1");
}
