//! In what surroundings may a program trace?
//!
//! A test binary that runs as `traced-program surrounded HOW` changes its own surroundings and
//! traces in them. It writes the result to the file that [`RESULT`] names.

use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::{Command, exit};
use std::time::Duration;

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::query::{ProbeQuery, SymbolQuery};
use dtrace_consumer::session::WarningKind;
use dtrace_consumer::{
    CallbackResult, Error, Failure, Firing, Outcome, preflight, run_synchronous, trace,
};
use nix::sys::prctl;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use parking_lot::Mutex;

/// The variable with the file for the result: the program's output may be closed.
pub const RESULT: &str = "DTRACE_TEST_RESULT";

/// What `traced-program surrounded HOW` does.
pub(crate) fn run(how: &str) -> ! {
    let file = std::env::var_os(RESULT).expect("a file for the result");
    if how == "preflight" {
        let preflight = preflight(None);
        let said = format!("{}\n{preflight}", preflight.is_ready());
        fs::write(file, said).expect("the file can be written");
        exit(0)
    }
    let outcomes = match how.split_once(", ") {
        Some(("no program", how)) => {
            surround(how);
            vec![told(run_synchronous("BEGIN { }", ["/no/such/program"]).run())]
        }
        Some(("no worker", how)) => {
            surround(how);
            // It is there, and is no program.
            let nobody = || Elevation::custom(["/etc/passwd"]);
            (0..50)
                .map(|_| told(trace("BEGIN { }").worker("/etc/passwd").elevation(nobody()).run()))
                .collect()
        }
        _ => {
            surround(how);
            sessions(&Elevation::None)
        }
    };
    fs::write(file, outcomes.join("; ")).expect("the file can be written");
    exit(0)
}

/// Traces in the surroundings `how` with an elevated worker, and returns what the program says then.
#[must_use]
pub fn elevated(how: &str) -> String {
    surround(how);
    sessions(&Elevation::Sudo).join("; ")
}

/// What is traced in all surroundings.
fn sessions(elevation: &Elevation) -> Vec<String> {
    let calls = "syscall::exit_group:entry /pid == $target/ { trace(arg0); }";
    let stacks = "syscall::exit_group:entry /pid == $target/ { trace(arg0); ustack(); }";
    let functions = "pid$target:libc.so.6:_exit:entry { trace(arg0); }";
    let commands = [calls, stacks, functions].map(|script| command(script, elevation.clone()));
    let others = [created, spawned, captured, asked].map(|session| session(elevation.clone()));
    commands.into_iter().chain(others).collect()
}

/// Runs a command that exits with 3, and returns what is known of its end.
fn command(script: &str, elevation: Elevation) -> String {
    let handler = |_: &Firing<'_>| {
        print_to_closed();
        Ok(())
    };
    let session = run_synchronous(script, ["sh", "-c", "exit 3"]).elevation(elevation);
    told(session.on_start(started).chew(handler).run())
}

fn started(_: &Outcome) -> CallbackResult {
    print_to_closed();
    Ok(())
}

/// The standard descriptors that were closed.
static CLOSED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Prints to nobody: no descriptor of this crate may have got those numbers.
fn print_to_closed() {
    for number in CLOSED.lock().iter() {
        // SAFETY: the call reads the text only.
        unsafe { libc::write(*number, c"output\n".as_ptr().cast(), 7) };
    }
}

/// Runs a process that libdtrace starts.
fn created(elevation: Elevation) -> String {
    let script = "syscall::exit_group:entry /pid == $target/ { trace(1); }";
    told(trace(script).create(["true"]).elevation(elevation).chew(|_| Ok(())).run())
}

/// Reads what a command writes to both streams.
fn captured(elevation: Elevation) -> String {
    let words = ["sh", "-c", "echo out; echo error >&2"];
    let session = run_synchronous("BEGIN { }", words).elevation(elevation);
    match session.capture_output().on_start(started).run() {
        Ok(outcome) => {
            let output = outcome.output.unwrap_or_default();
            [output.stdout, output.stderr].map(|it| it.escape_ascii().to_string()).join(", ")
        }
        Err(failure) => told(Err(failure)),
    }
}

/// Traces in a thread.
fn spawned(elevation: Elevation) -> String {
    match trace("BEGIN { trace(1); }").elevation(elevation).chew(|_| Ok(())).spawn() {
        Ok(thread) => told(thread.stop()),
        Err(failure) => told(Err(failure)),
    }
}

/// Asks for a probe and for a symbol.
fn asked(elevation: Elevation) -> String {
    let probe = ProbeQuery::new().pattern("syscall::getppid:entry").elevation(elevation.clone());
    let probe = probe.list().map(|it| format!("{} probe", it.len()));
    let symbol = SymbolQuery::new().name("vfs_read").elevation(elevation).look_up();
    let symbol = symbol.map(|it| format!("{} symbol", it.into_iter().flatten().count()));
    [probe, symbol].map(|it| it.unwrap_or_else(|error| in_words(&error))).join(", ")
}

fn told(result: Result<Outcome, Failure>) -> String {
    match result {
        Ok(outcome) => {
            let lost = outcome.warnings.iter().any(|w| w.kind == WarningKind::UnknownStatus);
            let status = match outcome.command {
                Some(command) => command.status.to_string(),
                None if lost => "unknown status".to_owned(),
                None => "no command".to_owned(),
            };
            format!("{} firing, {status}", outcome.firings)
        }
        Err(failure) => in_words(&failure.error),
    }
}

fn in_words(error: &Error) -> String {
    let kind = match error {
        Error::Unavailable(_) => "unavailable",
        Error::Command { .. } => "command",
        Error::WorkerStart { .. } => "start of the worker",
        Error::Elevation { .. } => "elevation",
        _ => "another error",
    };
    format!("{kind}: {error}")
}

fn surround(how: &str) {
    let own = std::env::args_os().next().unwrap_or_default();
    let handle = |signal, handler, flags| {
        let action = SigAction::new(handler, flags, SigSet::empty());
        // SAFETY: the handlers do nothing.
        unsafe { sigaction(signal, &action) }.expect("a signal that can be handled");
    };
    match how {
        "as it is" => {}
        "SIGCHLD ignored" => handle(Signal::SIGCHLD, SigHandler::SigIgn, SaFlags::empty()),
        "no zombies" => handle(Signal::SIGCHLD, SigHandler::SigDfl, SaFlags::SA_NOCLDWAIT),
        "SIGINT ignored" => handle(Signal::SIGINT, SigHandler::SigIgn, SaFlags::empty()),
        "SIGPIPE default" => handle(Signal::SIGPIPE, SigHandler::SigDfl, SaFlags::empty()),
        "a timer" => {
            handle(Signal::SIGALRM, SigHandler::Handler(do_nothing), SaFlags::empty());
            start_timer();
        }
        "all signals blocked" => {
            pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).expect("a mask");
        }
        "children waited for elsewhere" => {
            std::thread::spawn(|| {
                loop {
                    if !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some())
                    {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            });
        }
        "forks that stay" => forks_that_stay(),
        "a reaper of orphans" => prctl::set_child_subreaper(true).expect("it is permitted"),
        "not dumpable" => prctl::set_dumpable(false).expect("it is permitted"),
        "memory locked" => {
            // SAFETY: the call changes nothing that a program sees.
            assert_eq!(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }, 0);
        }
        "deleted" => fs::remove_file(own).expect("the program's file"),
        "renamed" => {
            let mut new = own.clone();
            new.push(".renamed");
            fs::rename(own, new).expect("the program's file");
        }
        "replaced" => {
            fs::remove_file(&own).expect("the program's file");
            fs::copy("/bin/false", own).expect("another program");
        }
        "noexec" => {
            let mut mount = Command::new("mount");
            assert!(
                mount.args(["-o", "remount,noexec", "/mnt"]).status().expect("it runs").success()
            );
        }
        _ => close(how.strip_prefix("closed ").expect("a known surrounding")),
    }
}

/// Closes the standard descriptors with these numbers.
fn close(numbers: &str) {
    for number in numbers.split_whitespace() {
        let number: i32 = number.parse().expect("a number");
        // SAFETY: nothing of this program uses the descriptor by a value that owns it.
        unsafe { libc::close(number) };
        CLOSED.lock().push(number);
    }
}

extern "C" fn do_nothing(_: i32) {}

fn start_timer() {
    let often = libc::timeval { tv_sec: 0, tv_usec: 3000 };
    let timer = libc::itimerval { it_interval: often, it_value: often };
    let none = std::ptr::null_mut();
    // SAFETY: the call reads only the structure.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, none) };
    assert_eq!(result, 0);
}

/// Forks again and again while sessions run. The children keep what they inherit for a while.
fn forks_that_stay() {
    /// In milliseconds. As long as a fork has the pipe by which the standard library learns that a command has
    /// been executed, the start of that command waits.
    const STAY: libc::c_int = 5000;
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    let theirs = theirs.into_raw_fd();
    std::thread::spawn(move || {
        for _ in 0..200 {
            // SAFETY: the child makes only system calls.
            unsafe {
                if libc::fork() == 0 {
                    libc::close(ours.as_raw_fd());
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    let mut end = libc::pollfd { fd: theirs, events: libc::POLLIN, revents: 0 };
                    libc::poll(&raw mut end, 1, STAY);
                    libc::_exit(0);
                }
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        // The children end with the pipe.
        std::thread::sleep(Duration::from_secs(600));
        drop(ours);
    });
}
