//! A process that confines itself is ended at what it may not do.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

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
