//! How long does tracing take to start and end, and what does a record cost, compared with dtrace(1)?
//!
//! Both trace the same commands with the same scripts, alternately, on the same machine. Compare the
//! ratios of the medians. The traced command is this program, which writes down when it began and
//! ended, so the results contain only the tracer's time.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dtrace_consumer::{Failure, run_synchronous};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::{Need, processes};
use nix::sys::resource::{UsageWho, getrusage};

const ROUNDS: usize = 5;
const RECORDS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [first, file, calls] = &arguments[..]
        && first == "--traced"
    {
        return Ok(traced(Path::new(file), calls.to_string_lossy().parse()?)?);
    }
    if let Err(missing) = Need::Tracing.check() {
        return Err(format!("{}\n{}", missing.what, missing.details).into());
    }
    let scratch = std::env::temp_dir().join(format!("dtrace-bench-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let result = compare(&scratch);
    fs::remove_dir_all(&scratch)?;
    result
}

/// The traced command: makes system calls, and writes down when it began and ended and its CPU time.
fn traced(file: &Path, calls: u32) -> io::Result<()> {
    let began = now();
    for _ in 0..calls {
        std::hint::black_box(nix::unistd::getppid());
    }
    let (ended, cpu) = (now(), cpu());
    fs::write(file, format!("{} {} {}", began.as_nanos(), ended.as_nanos(), cpu.as_nanos()))
}

/// Returns a time that two processes can compare.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The duration of the stages of one run, seen from outside.
#[derive(Clone, Copy, Default)]
struct Run {
    /// From the call, or the start of dtrace(1), to the traced command's beginning.
    start: Duration,
    /// From the traced command's end to everything delivered, or to dtrace(1)'s prompt.
    end: Duration,
    /// User and system time of the tracer, without the traced command's.
    cpu: Duration,
}

struct Bench<'a> {
    scratch: &'a Path,
    dtrace1: Dtrace1,
}

fn compare(scratch: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // io.d does not compile on kernels without the symbols that it uses.
    let without = ["io.d".to_owned()];
    let bench = Bench { scratch, dtrace1: Dtrace1::find(scratch, &without)? };
    println!("medians of {ROUNDS} alternate runs; ratios are dtrace(1) : dtrace-consumer\n");
    let scripts = [
        ("one probe", "rawtp:raw_syscalls::sys_enter /pid == $target/ { @ = count(); }"),
        ("360 probes", "syscall:::entry /pid == $target/ { @[probefunc] = count(); }"),
    ];
    for (name, script) in scripts {
        let (ours, theirs) = bench.rounds(script, 1000)?;
        println!("{name}: {script}");
        report("to tracing on", ours.start, theirs.start);
        report("from the command's end to the result", ours.end, theirs.end);
        println!();
    }
    let script = "rawtp:raw_syscalls::sys_enter /pid == $target && arg1 == 110/ { trace(arg1); }";
    println!("{RECORDS} records: {script}");
    let (ours, theirs) = bench.rounds(script, RECORDS)?;
    let (idle, idle_theirs) = bench.rounds(script, 0)?;
    let each = |busy: Run, idle: Run| busy.cpu.saturating_sub(idle.cpu) / RECORDS;
    report("CPU per record, start and end deducted", each(ours, idle), each(theirs, idle_theirs));
    report("CPU of a session without records", idle.cpu, idle_theirs.cpu);
    Ok(())
}

fn report(what: &str, ours: Duration, theirs: Duration) {
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64().max(1e-9);
    println!("  {what:40} {ours:>12.3?} : {theirs:>12.3?}  {ratio:8.1} times");
}

impl Bench<'_> {
    /// Returns the medians of both.
    fn rounds(&self, script: &str, calls: u32) -> io::Result<(Run, Run)> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(self.ours(script, calls)?);
            theirs.push(self.theirs(script, calls)?);
        }
        Ok((median(&ours), median(&theirs)))
    }

    fn ours(&self, script: &str, calls: u32) -> io::Result<Run> {
        let (file, command) = self.command(calls)?;
        let (cpu, called) = (cpu(), now());
        let failed = |f: Failure| io::Error::other(f.to_string());
        let mut firings = 0u64;
        let wants_firings = script.contains("trace(");
        let session = run_synchronous(script, command).walk(|_| Ok(()));
        if wants_firings {
            let counting = session.chew(|firing| {
                firings += firing.values().count() as u64;
                Ok(())
            });
            counting.run()
        } else {
            session.run()
        }
        .map_err(failed)?;
        let returned = now();
        if wants_firings && firings < u64::from(calls) {
            return Err(io::Error::other(format!("only {firings} of {calls} records arrived")));
        }
        // The worker exits after the session has returned. Its CPU time counts once it is gone.
        wait_for_children();
        self.run(&file, called, returned, cpu)
    }

    fn theirs(&self, script: &str, calls: u32) -> io::Result<Run> {
        let (file, command) = self.command(calls)?;
        let source = self.scratch.join("script.d");
        fs::write(&source, script)?;
        let words: Vec<String> = command.iter().map(|w| w.to_string_lossy().into_owned()).collect();
        let (cpu, called) = (cpu(), now());
        let mut dtrace = self.dtrace1.command();
        dtrace.arg("-q").arg("-s").arg(&source).arg("-c").arg(words.join(" "));
        let output = dtrace.output()?;
        let returned = now();
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(message));
        }
        self.run(&file, called, returned, cpu)
    }

    /// Returns the command to trace, and the file that it writes.
    fn command(&self, calls: u32) -> io::Result<(PathBuf, Vec<OsString>)> {
        let file = self.scratch.join("times");
        let _ = fs::remove_file(&file);
        let program = std::env::current_exe()?;
        let command =
            vec![program.into(), "--traced".into(), file.clone().into(), calls.to_string().into()];
        Ok((file, command))
    }

    fn run(
        &self,
        file: &Path,
        called: Duration,
        returned: Duration,
        before: Duration,
    ) -> io::Result<Run> {
        let times = fs::read_to_string(file)?;
        let mut times = times.split(' ').filter_map(|t| t.parse().ok()).map(Duration::from_nanos);
        let (Some(began), Some(ended), Some(traced)) = (times.next(), times.next(), times.next())
        else {
            return Err(io::Error::other("the traced command wrote no times"));
        };
        Ok(Run {
            start: began.saturating_sub(called),
            end: returned.saturating_sub(ended),
            cpu: cpu().saturating_sub(before).saturating_sub(traced),
        })
    }
}

/// Returns the CPU time of this process and of all its children that have ended.
fn cpu() -> Duration {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .into_iter()
        .filter_map(|who| getrusage(who).ok())
        .flat_map(|usage| [usage.user_time(), usage.system_time()])
        .map(|t| Duration::from_micros(t.tv_sec() as u64 * 1_000_000 + t.tv_usec() as u64))
        .sum()
}

fn wait_for_children() {
    while !processes::children().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn median(runs: &[Run]) -> Run {
    let middle = |get: fn(&Run) -> Duration| {
        let mut values: Vec<Duration> = runs.iter().map(get).collect();
        values.sort();
        values[values.len() / 2]
    };
    Run { start: middle(|r| r.start), end: middle(|r| r.end), cpu: middle(|r| r.cpu) }
}
