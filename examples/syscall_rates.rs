//! Lists the most frequent system calls, live, until Ctrl-C.
//!
//! ```text
//! cargo run --example syscall_rates
//! cargo run --example syscall_rates -- --interval 5 --top 3 --pid 1234
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::mem;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use dtrace_consumer::aggregation::Mode;
use dtrace_consumer::{
    Aggregated, CallbackResult, Consumer, Failure, Outcome, Script, StopHandle, Value, trace,
};

/// The probes of all system calls, and what distinguishes the calls. On Linux a single probe fires for all of them, and
/// has their number; elsewhere each has a probe with its name.
const PROBES: &str =
    if cfg!(target_os = "linux") { "rawtp:raw_syscalls::sys_enter" } else { "syscall:::entry" };
const CALL: &str = if cfg!(target_os = "linux") { "arg1" } else { "probefunc" };

/// Lists the most frequent system calls, until Ctrl-C
#[derive(Parser)]
struct Cli {
    /// Count only the calls of this process
    #[arg(short, long)]
    pid: Option<u32>,
    /// Seconds between lists
    #[arg(short, long, value_name = "SECONDS", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
    /// Stop after this many seconds; the default is to run until Ctrl-C
    #[arg(short, long)]
    seconds: Option<u32>,
    /// How many system calls to list
    #[arg(short, long, default_value_t = 10)]
    top: usize,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // EX_USAGE of sysexits(3).
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    match rates(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has closed it.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn rates(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let count = format!("{{ @calls[{CALL}] = count(); }}");
    let script = match cli.pid {
        Some(pid) => Script::new(format!("{PROBES} /pid == $1/ {count}")).args([pid.to_string()]),
        // Leaves out the calls of tracing itself.
        None => Script::new(format!("{PROBES} /pid != $pid/ {count}")),
    };
    // Set up first, because Ctrl-C may come as soon as tracing is on.
    let stop = StopHandle::new();
    let on_interrupt = stop.clone();
    ctrlc::set_handler(move || on_interrupt.stop())?;
    let rates = Rates {
        top: cli.top,
        limit: cli.seconds.map(|seconds| Duration::from_secs(seconds.into())),
        stop: stop.clone(),
        since: Instant::now(),
        recent: BTreeMap::new(),
        total: 0,
    };
    trace(script)
        .stop_handle(&stop)
        .mode(Mode::Delta)
        .walk_every(Duration::from_secs(cli.interval.into()))
        .consumer(rates)
        .run()?;
    Ok(())
}

/// Counts the calls of each interval, and lists them when it ends.
struct Rates {
    top: usize,
    /// How long to trace.
    limit: Option<Duration>,
    stop: StopHandle,
    since: Instant,
    /// The calls since the last list, by name.
    recent: BTreeMap<String, i64>,
    total: i64,
}

impl Consumer for Rates {
    fn on_start(&mut self, _: &Outcome) -> CallbackResult {
        self.since = Instant::now();
        if let Some(limit) = self.limit {
            // A deadline of the session would include its start.
            let stop = self.stop.clone();
            thread::spawn(move || {
                thread::sleep(limit);
                stop.stop();
            });
        }
        Ok(())
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        let call: Value = entry.key(0)?;
        let name = call.get().map_or_else(|_| call.get(), |number| Ok(name_of(number)))?;
        *self.recent.entry(name).or_default() += entry.number()?;
        Ok(())
    }

    fn walked(&mut self) -> CallbackResult {
        let seconds = mem::replace(&mut self.since, Instant::now()).elapsed().as_secs_f64();
        let mut recent: Vec<(String, i64)> = mem::take(&mut self.recent).into_iter().collect();
        recent.sort_by_key(|(_, count)| Reverse(*count));
        let sum: i64 = recent.iter().map(|(_, count)| count).sum();
        self.total += sum;
        let mut out = io::stdout().lock();
        writeln!(out, "{:>10.0} calls/s", sum as f64 / seconds)?;
        for (call, count) in recent.iter().take(self.top) {
            writeln!(out, "{:>10.0} {}", *count as f64 / seconds, call)?;
        }
        Ok(writeln!(out)?)
    }

    fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
        Ok(writeln!(io::stdout(), "{} calls in all; {}", self.total, outcome.losses)?)
    }
}

/// Returns the name of a system call on this machine.
fn name_of(call: u32) -> String {
    let name = syscalls::Sysno::new(call as usize).map(|call| call.name().to_owned());
    name.unwrap_or_else(|| format!("number {call}"))
}

/// Whether the reader of a pipe has closed it. The program then ends without an error.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let Some(Failure { error: dtrace_consumer::Error::Callback { cause, .. }, .. }) =
        error.downcast_ref()
    else {
        return false;
    };
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
