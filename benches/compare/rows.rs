//! Which figures are compared?

use std::time::Duration;

use crate::traced::Work;
use crate::tracers::{Handler, Job, Run};

/// A job, and the figures that are taken of it.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) job: Job,
    pub(crate) figures: &'static [Figure],
    /// How often each tracer runs it.
    pub(crate) rounds: usize,
    /// Whether `--check` measures it.
    pub(crate) is_checked: bool,
}

/// A figure of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Figure {
    Start,
    /// The CPU time of the traced program for each of its calls.
    Event,
    /// The CPU time of the tracer for each record.
    Record,
    Latency,
    End,
}

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Figure::Start => "to tracing on",
            Figure::Event => "CPU of the traced program, per call",
            Figure::Record => "CPU of the tracer, per record",
            Figure::Latency => "from the firing to the handler",
            Figure::End => "from the program's end to the last result",
        }
    }

    pub(crate) fn of(self, run: &Run) -> Duration {
        match self {
            Figure::Start => run.start,
            Figure::Event => run.traced,
            Figure::Record => run.tracer,
            Figure::Latency => run.latency,
            Figure::End => run.end,
        }
    }
}

/// A script with one probe.
pub(crate) const ONE_PROBE: &str = "syscall::getppid:entry /pid == $target/ { @ = count(); }";
const NUMBERS: &str = "syscall::getppid:entry /pid == $target/ { printf(\"%d %d\\n\", pid, tid); }";
/// Like `NUMBERS`, but libdtrace formats the text, because of the `#`.
const ALTERNATE: &str =
    "syscall::getppid:entry /pid == $target/ { printf(\"%d %#x\\n\", pid, tid); }";
const TRACE: &str = "syscall::getppid:entry /pid == $target/ { trace(pid); trace(tid); }";
const KEYS: &str = "syscall::kill:entry /pid == $target/ { @[arg0] = count(); }";
const CALLS: u32 = 200_000;

/// The records are the times at which they were made.
const TIMES: &str = "syscall::getppid:entry /pid == $target/ { printf(\"%d\\n\", timestamp); }";
const TIMES_FOR_BPFTRACE: &str = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ \
                                  { printf(\"%llu\\n\", nsecs(monotonic)); }";

fn records(what: &'static str, script: &str, handler: Handler) -> Row {
    let bpftrace =
        "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf(\"%d %d\\n\", pid, tid); }";
    let bpftrace = Some(bpftrace).filter(|_| script == NUMBERS && handler == Handler::Text);
    let options = &[("bufsize", "32m")];
    let job = Job { options, bpftrace, ..Job::new(script, Work::Calls(CALLS), handler) };
    let figures = &[Figure::Event, Figure::Record];
    Row { what, job, figures, rounds: 5, is_checked: script == NUMBERS }
}

fn paced(what: &'static str, work: Work) -> Row {
    let job = Job::new(TRACE, work, Handler::Firings);
    Row { what, job, figures: &[Figure::Record], rounds: 3, is_checked: false }
}

fn latency(what: &'static str, work: Work) -> Row {
    let bpftrace = Some(TIMES_FOR_BPFTRACE);
    let job = Job { bpftrace, ..Job::new(TIMES, work, Handler::Times) };
    Row { what, job, figures: &[Figure::Latency], rounds: 3, is_checked: false }
}

fn at_once(row: Row) -> Row {
    Row { job: Job { at_once: true, ..row.job }, ..row }
}

/// Returns a job that counts by keys. The default of aggsize suffices for few; the kernel looks for the keys in all
/// of the space that there is.
pub(crate) fn keys(number: u32) -> Job {
    let options: &[_] = if number > 1000 { &[("aggsize", "64m")] } else { &[] };
    Job { options, ..Job::new(KEYS, Work::Keys(number), Handler::Walk) }
}

/// Returns a job of which the start is of interest.
pub(crate) fn start(script: impl Into<String>) -> Job {
    Job::new(script, Work::Calls(1000), Handler::Walk)
}

/// Returns all rows.
pub(crate) fn all() -> Vec<Row> {
    let starts = |what, script: &str| {
        let figures = &[Figure::Start, Figure::End];
        Row { what, job: start(script), figures, rounds: 3, is_checked: false }
    };
    let walk = |what, number| Row {
        what,
        job: keys(number),
        figures: &[Figure::End],
        rounds: if number > 50_000 { 1 } else { 3 },
        is_checked: number == 20_000,
    };
    let (often, seldom) = (Work::Paced(2000, 1050), Work::Paced(600, 10_000));
    vec![
        starts("one probe", ONE_PROBE),
        starts("`syscall:::entry`", "syscall:::entry /pid == $target/ { @[probefunc] = count(); }"),
        records("200 k records, text", NUMBERS, Handler::Text),
        records("200 k records, text with `%#x`", ALTERNATE, Handler::Text),
        records("200 k records, rows of two numbers", NUMBERS, Handler::Rows),
        records("200 k records, `trace()`", TRACE, Handler::Firings),
        paced("900 records a second", often),
        paced("100 records a second", seldom),
        latency("900 records a second, text", often),
        latency("100 records a second, text", seldom),
        at_once(paced("900 records a second, `max_delay` of 0", often)),
        at_once(latency("900 records a second, text, `max_delay` of 0", often)),
        walk("1 k keys", 1000),
        walk("20 k keys", 20_000),
        walk("100 k keys", 100_000),
    ]
}
