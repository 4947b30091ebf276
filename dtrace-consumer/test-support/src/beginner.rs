//! What does a first program look like when something goes wrong?
//!
//! The test binary as `traced-program beginner WHAT` is a program whose `main` returns the error. A test reads
//! what it writes to its standard error.

use std::error::Error;
use std::fmt;
use std::process::{Command, Termination, exit};

use dtrace_consumer::{replay_from, run_synchronous};

use crate::traced::traced_program;

/// The variable with the file that the program `recorder` records to.
pub const RECORDING: &str = "RECORDING";

/// A command that is such a program. Add its environment or user, and run it.
///
/// # Panics
/// If the path of this binary is not known.
#[must_use]
pub fn beginner(what: &str) -> Command {
    let words = traced_program("beginner", what);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// What such a program writes to its standard error.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn complaint_of(mut command: Command) -> String {
    let output = command.output().expect("the program can be started");
    String::from_utf8(output.stderr).expect("text")
}

/// What `traced-program beginner WHAT` does.
pub(crate) fn run(what: &str) -> ! {
    // As the standard library does with the result of `main`.
    let failed = main(what).report() != std::process::ExitCode::SUCCESS;
    exit(i32::from(failed))
}

fn main(what: &str) -> Result<(), Box<dyn Error>> {
    let two = r#"BEGIN { printf("%d %s", 1, "two"); }"#;
    match what {
        "misspelt" => drop(session("BEGIN\n{\n\ttrace(foo(1));\n}")?),
        "unmatched" => drop(session("syscall::getpidd:entry { trace(1); }")?),
        "works" => drop(session("BEGIN { trace(1); }")?),
        "asks for its number" => drop(session("BEGIN /pid != $pid/ { trace(1); }")?),
        "no command" => drop(run_synchronous(two, ["/no/such/program"]).run()?),
        "misfit" => {
            run_synchronous(two, ["true"]).rows(|_: (i32, u64)| Ok(())).run()?;
        }
        "handler" => {
            run_synchronous(two, ["true"]).chew(|_| Err(Outer(Inner).into())).run()?;
        }
        "no translator" => drop(session("BEGIN { trace(((bufinfo_t *)0)->b_flags); }")?),
        "damaged" => drop(replay_from(&b"\x30\0\0\0\x01DTrS\x02\0"[..]).run()?),
        // To the file that the variable names, until it is killed.
        "recorder" => {
            let path = std::env::var_os(RECORDING).ok_or("no file is named")?;
            let command = traced_program("wait", 0);
            let session = run_synchronous("BEGIN { trace(1); }", command).record(path);
            session
                .chew(|_| {
                    println!("recorded");
                    Ok(())
                })
                .run()?;
        }
        // The same, and prints each number that its handler gets.
        "busy recorder" => {
            let path = std::env::var_os(RECORDING).ok_or("no file is named")?;
            let script = "syscall::getppid:entry /pid == $target/ { trace(++n); }";
            let session = run_synchronous(script, traced_program("calls", 10_000_000)).record(path);
            session
                .option("switchrate", "1ms")
                .rows(|n: u32| {
                    println!("{n}");
                    Ok(())
                })
                .run()?;
        }
        "begin fault" => {
            let script = "BEGIN { trace(*(int *)0); }";
            run_synchronous(script, traced_program("wait", 0)).run()?;
        }
        "hot faults" => {
            let script = "syscall::getppid:entry /pid == $target/ { trace(*(int *)0); }";
            run_synchronous(script, traced_program("calls", 1500)).run()?;
        }
        "drops" => {
            let script =
                "syscall::getppid:entry /pid == $target/ { trace(execname); trace(execname); }";
            let command = traced_program("calls", 20_000);
            run_synchronous(script, command).option("bufsize", "4k").chew(|_| Ok(())).run()?;
        }
        "unknown aggregation" => {
            let outcome = run_synchronous("BEGIN { @calls = count(); }", ["true"])
                .walk_joined(["call"], |_| Ok(()))
                .run()?;
            println!("{} warnings", outcome.warnings.len());
        }
        _ => exit(99),
    }
    Ok(())
}

fn session(script: &str) -> Result<dtrace_consumer::Outcome, dtrace_consumer::Failure> {
    run_synchronous(script, ["true"]).run()
}

#[derive(Debug)]
struct Outer(Inner);

#[derive(Debug)]
struct Inner;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot store the record")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk is full")
    }
}

impl Error for Inner {}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
