//! Does an elevated worker limit what libdtrace does for its user, whatever the library's lineage is?
//!
//! An ordinary user runs sessions through sudo, on a system of its own, with a stand-in for libdtrace.

use std::path::Path;
use std::process::Command;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_stand_in::plan::{PLAN, Plan};
use dtrace_test_support::Need;
use dtrace_test_support::harness;
use dtrace_test_support::prefix::stand_in;
use dtrace_test_support::user::{self, SUDOERS, System};

use crate::stage::*;

const WORKER: &str = env!("CARGO_BIN_EXE_dtrace-worker");

/// The prefix with the stand-in on the user's system. The user may write the plan.
const STAND_IN: &str = "/mnt/stand-in";

/// A file with the number of a process that is root's.
const OTHER: &str = "/mnt/other";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        if user::case().is_some() {
            sessions();
            std::process::exit(0);
        }
    }
}

/// What the user does.
fn sessions() {
    let (mut numbers, mut entries) = (Vec::new(), Vec::new());
    plain_plan().put(Path::new(STAND_IN));
    let session = run_synchronous("BEGIN { trace(1); }", ["true"]).elevation(Elevation::Sudo);
    let session = session
        .keep_system()
        .chew(|firing| {
            if firing.records().len() == 1 {
                numbers.push(firing.row::<i32>()?);
            }
            Ok(())
        })
        .walk(|entry| {
            entries.push((entry.key::<i32>(0)?, entry.number()?));
            Ok(())
        });
    match session.run() {
        Ok(outcome) => println!("{numbers:?} {entries:?} {}", outcome.losses),
        Err(failure) => println!("{}", failure.error),
    }
    let mut own = Command::new("sleep").arg("1000").spawn().expect("sleep(1) is there");
    let other = std::fs::read_to_string(OTHER).expect("root has written it");
    let other: i32 = other.trim().parse().expect("a number");
    let session = |script: &str| trace(script).elevation(Elevation::Sudo).keep_system();
    // The library attaches to what the user grabs, and to what a script names.
    for pid in [own.id().cast_signed(), other] {
        Plan { attached: Some(0), ..plain_plan() }.put(Path::new(STAND_IN));
        let grabbed = session("BEGIN { }").grab(pid).run();
        Plan { named: Some(pid), ..plain_plan() }.put(Path::new(STAND_IN));
        // For such a script the kernel does not confine the worker to itself.
        let named = session("BEGIN { ustack(); }").run();
        for result in [grabbed, named] {
            match result {
                Ok(_) => println!("done"),
                Err(Failure { error: Error::Refused { .. }, .. }) => println!("refused"),
                Err(Failure { error: Error::Compile(error), .. }) => println!("{}", error.message),
                Err(failure) => println!("{}", failure.error),
            }
        }
    }
    own.kill().and_then(|()| own.wait()).expect("it is a child");
}

pub(crate) fn an_elevated_worker_traces_and_controls_only_what_its_user_may() {
    let needed = [Need::Root, Need::Command("sudo"), Need::Command("unshare")];
    for need in needed.into_iter().chain([Need::Command("setpriv")]) {
        if let Err(missing) = need.check() {
            harness::ignore(missing.what);
        }
    }
    let prefix = Prefix::new();
    let mut other = Command::new("sleep").arg("1000").spawn().expect("sleep(1) is there");
    // Nobody limits what root does.
    Plan { named: Some(other.id().cast_signed()), ..plain_plan() }.put(&prefix.path);
    let traced = trace("BEGIN { }").prefix(&prefix.path).keep_system().run();
    other.kill().and_then(|()| other.wait()).expect("it is a child");
    traced.expect("root may attach to any process");
    let commands = format!(
        "mkdir -p {STAND_IN}/lib; cp '{}' {STAND_IN}/lib/libdtrace.so.2; chmod -R go-w {STAND_IN}; \
         touch {STAND_IN}/{PLAN}; chown nobody {STAND_IN}/{PLAN}; echo {} > {OTHER}; \
         printf 'prefix = {STAND_IN}\\ngrab = yes\\n' > /etc/dtrace-worker.conf",
        stand_in().display(),
        std::process::id()
    );
    let system = System { sudoers: SUDOERS, commands: &commands, ..System::default() };
    let said = user::as_user_without_libdtrace(&system, Path::new(WORKER), "sessions");
    let lines: Vec<&str> = said.lines().collect();
    if SUN {
        assert!(
            lines[0].starts_with("[7, 8] [(1, 10), (2, 20)] 3 principal buffer drops"),
            "{said}"
        );
        assert_eq!(lines[1..], ["done", "done", "refused", "stand-in error 1"], "{said}");
    } else {
        // The stand-in does not call what is limited in Linux's library, so it might attach to any process.
        let says = "limiting which processes libdtrace controls";
        assert!(lines[0].contains(says) && lines[2].contains(says), "{said}");
    }
}
