//! How does each tracer run a script, and what is measured of it?

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dtrace_consumer::run_synchronous;
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::processes::{descendants_of, lives};

use crate::clocks::{Latencies, Span, now};
use crate::traced::{self, WORD, Work};

/// A script, and what it traces.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) script: String,
    pub(crate) options: &'static [(&'static str, &'static str)],
    pub(crate) work: Work,
    pub(crate) handler: Handler,
    /// Records the session, where the tracer can.
    pub(crate) record: bool,
    /// Has each record wake this crate's session.
    pub(crate) at_once: bool,
    /// The same for bpftrace(8), if it is to be compared, too.
    pub(crate) bpftrace: Option<&'static str>,
}

impl Job {
    pub(crate) fn new(script: impl Into<String>, work: Work, handler: Handler) -> Job {
        let script = script.into();
        Job { script, options: &[], work, handler, record: false, at_once: false, bpftrace: None }
    }

    /// Returns how many records are between two looks at the clocks, which cost more than a record.
    fn look_every(&self) -> u64 {
        if matches!(self.work, Work::Paced(..)) { 20 } else { 1000 }
    }
}

/// What receives the records in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// `chew`, without the values.
    Firings,
    /// `rows` of two numbers.
    Rows,
    /// `out`, the text.
    Text,
    /// `out`, of which each text is the time at which its probe fired.
    Times,
    /// `walk`.
    Walk,
}

/// What was measured of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// From the call, or the start of the other tracer, to the beginning of the traced program.
    pub(crate) start: Duration,
    /// From its end to the last record or entry.
    pub(crate) end: Duration,
    /// Its own CPU time for each call.
    pub(crate) traced: Duration,
    /// The CPU time of the tracer's processes for each record.
    pub(crate) tracer: Duration,
    /// From the firing to where the record is received, the median.
    pub(crate) latency: Duration,
    /// What the tracer says it has lost.
    pub(crate) drops: u64,
}

/// The tracers.
pub(crate) struct Tracers {
    scratch: PathBuf,
    dtrace1: Dtrace1,
    bpftrace: OnceLock<Option<PathBuf>>,
}

impl Tracers {
    pub(crate) fn new(scratch: &Path) -> io::Result<Tracers> {
        // io.d does not compile on kernels without the symbols that it uses.
        let without = ["io.d".to_owned()];
        Ok(Tracers {
            scratch: scratch.to_owned(),
            dtrace1: Dtrace1::find(scratch, &without)?,
            bpftrace: OnceLock::new(),
        })
    }

    /// Returns a new directory, for the files of a run.
    fn place(&self) -> io::Result<tempfile::TempDir> {
        tempfile::tempdir_in(&self.scratch)
    }

    /// Returns what bpftrace(8) says of its version, if it can be compared with.
    pub(crate) fn bpftrace_version(&self) -> Option<String> {
        let output = Command::new(self.bpftrace_program()?).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn bpftrace_program(&self) -> Option<&Path> {
        self.bpftrace.get_or_init(unpacked_bpftrace).as_deref()
    }

    /// Runs the job with this crate.
    pub(crate) fn ours(&self, job: &Job) -> io::Result<Run> {
        let place = self.place()?;
        let file = place.path().join("times");
        let called = now();
        let (mut records, mut last) = (0u64, called);
        let (mut span, is_walk) = (None, job.handler == Handler::Walk);
        let mut latencies = Latencies::default();
        let mut count = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            records += 1;
            if records == 2 {
                span = Some(Span::begin(own_processes()));
            } else if records.is_multiple_of(job.look_every())
                && let Some(span) = &mut span
            {
                span.until_now(records);
            }
            if is_walk {
                last = now();
            }
            Ok(())
        };
        let mut session = run_synchronous(job.script.as_str(), job.work.command(&file)?);
        if job.record {
            session = session.record(place.path().join("recording"));
        }
        if job.at_once {
            session = session.max_delay(Duration::ZERO);
        }
        let session =
            job.options.iter().fold(session, |it, (name, value)| it.option(*name, *value));
        let outcome = match job.handler {
            Handler::Firings => session.chew(|_| count()).run(),
            Handler::Rows => session.rows(|_: (i64, i64)| count()).run(),
            Handler::Text => session.out(|_| count()).run(),
            Handler::Times => {
                let session = session.out(|output| {
                    latencies.arrived(output.text().as_bytes());
                    Ok(())
                });
                session.run()
            }
            Handler::Walk => session.walk(|_| count()).run(),
        };
        let outcome = outcome.map_err(|failure| io::Error::other(failure.to_string()))?;
        let cpu = span.map_or(Duration::ZERO, |span| span.each());
        let latency = latencies.median();
        run(
            job,
            &file,
            called,
            Measured { last, cpu, latency, drops: outcome.losses.total_drops() },
        )
    }

    /// Runs the job with dtrace(1).
    pub(crate) fn dtrace1(&self, job: &Job) -> io::Result<Run> {
        let place = self.place()?;
        let source = place.path().join("script.d");
        fs::write(&source, &job.script)?;
        let options = job.options.iter().map(|(name, value)| format!("-x{name}={value}"));
        let mut dtrace = self.dtrace1.command();
        // Its own default of aggsize is too small for many CPUs.
        dtrace.args(["-xbufsize=4m", "-xaggsize=4m"]).args(options).arg("-s").arg(&source);
        // Without it, each firing is a line of its own.
        if job.handler != Handler::Firings {
            dtrace.arg("-q");
        }
        Tracers::measured(dtrace, job, &place)
    }

    /// Runs the job with bpftrace(8), if that is there and has a script for it.
    pub(crate) fn bpftrace(&self, job: &Job) -> io::Result<Option<Run>> {
        let Some(script) = job.bpftrace else { return Ok(None) };
        let Some(program) = self.bpftrace_program() else { return Ok(None) };
        let mut bpftrace = Command::new(program);
        // As large buffers as the others have, and as large writes, unless it matters when a line arrives.
        let writes = if job.handler == Handler::Times { "line" } else { "full" };
        bpftrace.env("BPFTRACE_PERF_RB_PAGES", "8192").args(["-q", "-B", writes, "-e", script]);
        Tracers::measured(bpftrace, job, &self.place()?).map(Some)
    }

    /// Runs another tracer, and reads its lines.
    fn measured(mut tracer: Command, job: &Job, place: &tempfile::TempDir) -> io::Result<Run> {
        let file = place.path().join("times");
        let words = job.work.command(&file)?;
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        tracer.arg("-c").arg(words.join(" "));
        let called = now();
        let errors = place.path().join("errors");
        tracer.stdout(Stdio::piped()).stderr(fs::File::create(&errors)?);
        let mut child = tracer.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        // Its lines are read here.
        let processes = [child.id(), std::process::id()].map(u32::cast_signed);
        let (mut records, mut last, mut span) = (0u64, called, None);
        let mut latencies = Latencies::default();
        let mut output = BufReader::with_capacity(1 << 20, output);
        let mut line = Vec::new();
        while {
            line.clear();
            output.read_until(b'\n', &mut line)? > 0
        } {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if job.handler == Handler::Times {
                latencies.arrived(&line);
                continue;
            }
            records += 1;
            // The first may be a heading.
            if records == 2 {
                span = Some(Span::begin(processes.into()));
            } else if records.is_multiple_of(job.look_every())
                && let Some(span) = &mut span
            {
                span.until_now(records);
            }
            last = now();
        }
        let status = child.wait()?;
        let errors = String::from_utf8_lossy(&fs::read(errors)?).into_owned();
        if !status.success() {
            return Err(io::Error::other(errors));
        }
        let cpu = span.map_or(Duration::ZERO, |span| span.each());
        let latency = latencies.median();
        run(job, &file, called, Measured { last, cpu, latency, drops: drops_in(&errors) })
    }
}

/// Waits until the kernel has removed the probes of this process's sessions: until then, their workers are there. The
/// idle process that later workers are copies of stays.
pub(crate) fn settle() {
    let began = Instant::now();
    // Besides this process and the idle one.
    let are_left = || own_processes().into_iter().filter(|pid| lives(*pid)).count() > 2;
    while are_left() && began.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How long the kernel may take to remove the probes of a session. Of thousands, it takes minutes.
const LONGEST: Duration = Duration::from_secs(120);

/// Returns this process and its worker, which may be the child of an orphan.
fn own_processes() -> Vec<i32> {
    let is_traced = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(WORD))
    };
    let own = std::process::id();
    let workers = descendants_of(own).into_iter().filter(|pid| !is_traced(pid));
    workers.chain([own.cast_signed()]).collect()
}

/// Returns how many drops a tracer has reported.
fn drops_in(errors: &str) -> u64 {
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<u64>().ok());
    let reports = errors.lines().filter(|line| line.contains("drop") || line.contains("Lost"));
    reports.filter_map(number).sum()
}

/// What was seen of a tracer.
struct Measured {
    /// When the last record or entry was received.
    last: Duration,
    cpu: Duration,
    latency: Duration,
    drops: u64,
}

fn run(job: &Job, file: &Path, called: Duration, seen: Measured) -> io::Result<Run> {
    let traced = traced::read(file)?;
    Ok(Run {
        start: traced.began.saturating_sub(called),
        end: seen.last.saturating_sub(traced.ended),
        traced: traced.cpu / job.work.calls(),
        tracer: seen.cpu,
        latency: seen.latency,
        drops: seen.drops,
    })
}

/// Unpacks bpftrace(8). Returns its program; says why it is not compared with, if it is not.
fn unpacked_bpftrace() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/compare/bpftrace");
    let output = Command::new(script).stderr(Stdio::inherit()).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    if output.status.success() { Some(path.trim().into()) } else { None }
}
