//! The system calls that are made most often, live, until Ctrl-C.
//!
//! ```text
//! cargo run --example syscall_rates
//! cargo run --example syscall_rates -- --interval 5 --top 3 --pid 1234
//! ```

use std::cmp::Reverse;
use std::env::consts::ARCH;
use std::error::Error;
use std::io::{self, Write};
use std::mem;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use dtrace_consumer::{ConsumerThread, StopHandle, aggregation::Mode};
use parking_lot::Mutex;
use support::lab::{self, SystemCall};

/// One probe for all system calls, which it counts by number; not those of tracing itself.
const ALL: &str = "
rawtp:raw_syscalls::sys_enter /pid != $pid && pid != $1/ { @calls[arg1] = count(); }
";
/// Only those of one process.
const ONE: &str = "rawtp:raw_syscalls::sys_enter /pid == $1/ { @calls[arg1] = count(); }";

/// Prints which system calls are made most often, until Ctrl-C
#[derive(Parser)]
struct Cli {
    /// Only the calls of this process
    #[arg(short, long)]
    pid: Option<u32>,
    /// Seconds from one list to the next
    #[arg(short, long, value_name = "SECONDS", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
    /// Seconds after which to end; without it, only Ctrl-C ends it
    #[arg(short, long)]
    seconds: Option<u32>,
    /// How many system calls to list
    #[arg(short, long, default_value_t = 10)]
    top: usize,
}

fn main() -> ExitCode {
    let cli: Cli = match lab::command_line() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match trace(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough.
        Err(error) if lab::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn trace(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let (script, pid) = match cli.pid {
        Some(pid) => (ONE, pid),
        None => (ALL, process::id()),
    };
    // One closure counts, the other prints.
    let counts = Arc::new(Mutex::new(Counts::new()));
    let (counted, printed, top) = (Arc::clone(&counts), Arc::clone(&counts), cli.top);
    // Set up first: Ctrl-C may come as soon as tracing is on.
    let stop = StopHandle::new();
    let on_interrupt = stop.clone();
    ctrlc::set_handler(move || on_interrupt.stop())?;
    let session = ConsumerThread::builder(script)
        .stop_handle(&stop)
        .args([pid.to_string()])
        .mode(Mode::Delta)
        .walk_every(Duration::from_secs(cli.interval.into()))
        .walk(move |entry| {
            counted.lock().recent.push((SystemCall::counted_in(entry)?, entry.number()?));
            Ok(())
        })
        .walked(move || Ok(printed.lock().print(top, io::stdout().lock())?))
        .spawn()?;
    counts.lock().since = Instant::now();

    if let Some(seconds) = cli.seconds {
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds.into()));
            stop.stop();
        });
    }
    let outcome = session.join()?;
    writeln!(io::stdout(), "{} calls in all; {}", counts.lock().total, outcome.losses)?;
    Ok(())
}

/// How many calls were made.
struct Counts {
    /// Those since the last list.
    recent: Vec<(SystemCall, i64)>,
    since: Instant,
    total: i64,
}

impl Counts {
    fn new() -> Counts {
        Counts { recent: Vec::new(), since: Instant::now(), total: 0 }
    }

    fn print(&mut self, top: usize, mut out: impl Write) -> io::Result<()> {
        let seconds = mem::replace(&mut self.since, Instant::now()).elapsed().as_secs_f64();
        let mut recent = mem::take(&mut self.recent);
        recent.sort_by_key(|(_, count)| Reverse(*count));
        let sum: i64 = recent.iter().map(|(_, count)| count).sum();
        self.total += sum;
        writeln!(out, "{:>10.0} calls/s", sum as f64 / seconds)?;
        for (call, count) in recent.iter().take(top) {
            writeln!(out, "{:>10.0} {}", *count as f64 / seconds, call.name(ARCH))?;
        }
        writeln!(out)
    }
}
