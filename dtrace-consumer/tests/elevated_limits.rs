//! Does an elevated worker enforce the bounds of all numbers that a user sets?

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::query::SymbolQuery;
use dtrace_consumer::session::Live;
use dtrace_consumer::{Error, Session, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::user::{self, SUDOERS, System};

live_tests! {
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [
        a_number_beyond_its_bound_is_refused_with_the_bound,
        a_message_that_is_too_long_ends_the_worker,
    ],
}

const PERMITTED: System<'_> = System {
    sudoers: SUDOERS,
    doas: "",
    worker: "",
    commands: "",
    namespaces: &[],
    capabilities: "",
};

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        match user::case().as_deref() {
            None => return,
            Some("numbers") => set_numbers(),
            Some("messages") => send_messages(),
            Some(other) => panic!("{other}?"),
        }
        std::process::exit(0);
    }
}

/// Options, values that are just beyond their bounds, and the bounds.
const BAD_NUMBERS: [(&str, &str, &str); 24] = [
    ("aggsize", "268435457", "256 MiB"),
    ("bufsize", "262145k", "256 MiB"),
    ("bpflogsize", "257m", "256 MiB"),
    ("dynvarsize", "0x10000001", "256 MiB"),
    ("specsize", "16777217", "16 MiB"),
    ("nspec", "257", "256"),
    ("strsize", "1048577", "1 MiB"),
    ("scratchsize", "16777217", "16 MiB"),
    ("jstackstrsize", "1048577", "1 MiB"),
    ("pcapsize", "65537", "64 KiB"),
    ("printsize", "65537", "64 KiB"),
    ("maxframes", "4097", "4096"),
    ("stackframes", "4097", "4096"),
    ("ustackframes", "4097", "4096"),
    ("jstackframes", "4097", "4096"),
    ("stackindent", "1025", "1024"),
    ("aggsortpos", "1025", "1024"),
    ("aggsortkeypos", "1025", "1024"),
    ("pgmax", "257", "256"),
    ("aggrate", "99999", "100 µs"),
    ("cleanrate", "99us", "100 µs"),
    ("statusrate", "10001hz", "100 µs"),
    ("switchrate", "1ns", "100 µs"),
    ("lockmem", "-1", "a size or unlimited"),
];

/// Sets each number to one that is too large. Prints what was refused, a line each.
fn set_numbers() {
    let session = || trace("BEGIN { exit(0); }");
    for (name, value, _) in BAD_NUMBERS {
        say(session().option(name, value));
        say(trace(format!("#pragma D option {name}={value}\nBEGIN {{ exit(0); }}")));
    }
    let many = |session: Session<Live>| (0..1025).fold(session, |it, _| it.flag("quiet"));
    say(many(session()));
    say((0..1024).fold(session(), |it, _| it.script("BEGIN { exit(0); }")));
    say(session().script(format!("/* {} */", " ".repeat(4 << 20))));
    let symbols = (0..65_537).fold(SymbolQuery::new(), |query, n| query.address(n));
    say_error(symbols.elevation(Elevation::Sudo).look_up().err());
}

fn say(session: Session<Live>) {
    say_error(session.elevation(Elevation::Sudo).run().err().map(|failure| failure.error));
}

fn say_error(error: Option<Error>) {
    match error {
        Some(Error::Refused { what, reason }) => println!("{what}: {reason}"),
        other => println!("{other:?}"),
    }
}

/// The lengths of jobs that are too long.
const BAD_NUMBERS_OF_BYTES: [u32; 2] = [(4 << 20) + 1, u32::MAX];

/// Sends jobs that are too long, as this crate would not. Prints how the worker ends.
fn send_messages() {
    for length in BAD_NUMBERS_OF_BYTES {
        let mut worker = Command::new("sudo");
        worker.args(["-n", "/usr/local/libexec/dtrace-worker", "serve"]).stderr(Stdio::piped());
        let (mut channel, theirs) = UnixStream::pair().expect("a pair");
        let worker = worker.stdin(OwnedFd::from(theirs)).spawn().expect("sudo is installed");
        let mut greeting = [0; 5];
        channel.read_exact(&mut greeting).expect("a greeting");
        channel.write_all(&length.to_le_bytes()).expect("it listens");
        let done = worker.wait_with_output().expect("a child");
        println!("{} {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
}

fn a_number_beyond_its_bound_is_refused_with_the_bound() {
    const BAD_NUMBERS_OF_PARTS: [(&str, &str); 4] = [
        ("1027 options: ", "1024"),
        ("1025 scripts: ", "1024"),
        ("a request of 4194", "4194304 bytes"),
        ("65537 symbols: ", "65536"),
    ];
    let (_lock, guard) = alone();
    let said = user::as_user(&PERMITTED, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), "numbers");
    let mut lines = said.lines();
    for (name, value, bound) in BAD_NUMBERS {
        for way in ["set", "pragma"] {
            let line = lines.next().expect("a line for each option");
            let begin = format!("option {name}: {value} is not ");
            assert!(line.starts_with(&begin) && line.contains(bound), "{name}, {way}: {line}");
        }
    }
    for (what, bound) in BAD_NUMBERS_OF_PARTS {
        let line = lines.next().expect("a line for each number");
        assert!(line.starts_with(what) && line.contains(bound), "{what}{bound}: {line}");
    }
    assert_eq!(lines.next(), None);
    guard.check();
}

fn a_message_that_is_too_long_ends_the_worker() {
    let (_lock, guard) = alone();
    let said =
        user::as_user(&PERMITTED, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), "messages");
    let line = "exit status: 1 dtrace-worker: a message exceeds the limit";
    assert_eq!(said.lines().collect::<Vec<_>>(), [line; BAD_NUMBERS_OF_BYTES.len()]);
    guard.check();
}
