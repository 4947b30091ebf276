//! What does the traced program do, and what did tracing cost it?

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::{Pid, getppid};

use crate::clocks::{cpu_of, now};

/// The first argument of this program when it is the traced one.
pub(crate) const WORD: &str = "--traced";

/// What the traced program does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// So many calls of getppid(2), as fast as it can.
    Calls(u32),
    /// So many with a pause of so many microseconds before each.
    Paced(u32, u32),
    /// So many calls of kill(2), each with another number of a process, none of which exists.
    Keys(u32),
}

/// What the traced program has written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traced {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    /// Its CPU time in between.
    pub(crate) cpu: Duration,
}

impl Work {
    /// Returns the number of its calls.
    pub(crate) fn calls(self) -> u32 {
        match self {
            Work::Calls(number) | Work::Paced(number, _) | Work::Keys(number) => number,
        }
    }

    /// Returns the words of the program, which writes to `file`.
    pub(crate) fn command(self, file: &Path) -> io::Result<Vec<OsString>> {
        let program = std::env::current_exe()?;
        let (what, pause) = match self {
            Work::Calls(_) => ("calls", 0),
            Work::Paced(_, pause) => ("calls", pause),
            Work::Keys(_) => ("keys", 0),
        };
        let words = [what.to_owned(), self.calls().to_string(), pause.to_string()];
        let words = words.map(OsString::from);
        Ok([program.into(), WORD.into(), file.into()].into_iter().chain(words).collect())
    }
}

/// Is the traced program.
pub(crate) fn run(file: &Path, words: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [what, number, pause] = words else { return Err("two numbers are missing".into()) };
    let (number, pause): (i32, u64) = (number.parse()?, pause.parse()?);
    let own = std::process::id().cast_signed();
    let (began, before) = (now(), cpu_of(own)?);
    for call in 0..number {
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(pause));
        }
        match what.as_str() {
            // The kernel gives no process a number above 2^22.
            "keys" => drop(kill(Pid::from_raw((1 << 23) + call), None)),
            _ => drop(std::hint::black_box(getppid())),
        }
    }
    let (cpu, ended) = (cpu_of(own)?.saturating_sub(before), now());
    Ok(fs::write(file, format!("{} {} {}", began.as_nanos(), ended.as_nanos(), cpu.as_nanos()))?)
}

/// Returns what the traced program has written to `file`.
pub(crate) fn read(file: &Path) -> io::Result<Traced> {
    let times = fs::read_to_string(file)?;
    let mut times = times.split(' ').filter_map(|t| t.parse().ok()).map(Duration::from_nanos);
    match (times.next(), times.next(), times.next()) {
        (Some(began), Some(ended), Some(cpu)) => Ok(Traced { began, ended, cpu }),
        _ => Err(io::Error::other("the traced program wrote no times")),
    }
}
