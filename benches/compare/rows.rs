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
}

/// A figure of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Figure {
    Start,
    /// The CPU time of the traced program for each of its calls.
    Event,
    /// The CPU time of the tracer for each record.
    Record,
    End,
}

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Figure::Start => "to tracing on",
            Figure::Event => "CPU of the traced program, per call",
            Figure::Record => "CPU of the tracer, per record",
            Figure::End => "from the program's end to the last result",
        }
    }

    pub(crate) fn of(self, run: &Run) -> Duration {
        match self {
            Figure::Start => run.start,
            Figure::Event => run.traced,
            Figure::Record => run.tracer,
            Figure::End => run.end,
        }
    }
}

const NUMBERS: &str = "syscall::getppid:entry /pid == $target/ { printf(\"%d %d\\n\", pid, tid); }";
const TRACE: &str = "syscall::getppid:entry /pid == $target/ { trace(pid); trace(tid); }";
const KEYS: &str = "syscall::kill:entry /pid == $target/ { @[arg0] = count(); }";
const CALLS: u32 = 200_000;

fn records(what: &'static str, script: &'static str, handler: Handler) -> Row {
    let bpftrace =
        "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf(\"%d %d\\n\", pid, tid); }";
    let job = Job {
        script,
        options: &[("bufsize", "32m")],
        work: Work::Calls(CALLS),
        handler,
        bpftrace: Some(bpftrace).filter(|_| script == NUMBERS && handler == Handler::Text),
    };
    Row { what, job, figures: &[Figure::Event, Figure::Record], rounds: 5 }
}

fn paced(what: &'static str, pause: u32, calls: u32) -> Row {
    let job = Job { work: Work::Paced(calls, pause), ..records(what, TRACE, Handler::Firings).job };
    Row { what, job, figures: &[Figure::Record], rounds: 3 }
}

fn walk(what: &'static str, keys: u32) -> Row {
    let job = Job {
        script: KEYS,
        options: &[("aggsize", "64m")],
        work: Work::Keys(keys),
        handler: Handler::Walk,
        bpftrace: None,
    };
    Row { what, job, figures: &[Figure::End], rounds: if keys > 50_000 { 1 } else { 3 } }
}

/// Returns all rows.
pub(crate) fn all() -> Vec<Row> {
    let starts = |what, script, rounds| {
        let job = Job {
            script,
            options: &[],
            work: Work::Calls(1000),
            handler: Handler::Walk,
            bpftrace: None,
        };
        Row { what, job, figures: &[Figure::Start, Figure::End], rounds }
    };
    vec![
        starts("one probe", "syscall::getppid:entry /pid == $target/ { @ = count(); }", 3),
        starts(
            "`syscall:::entry`",
            "syscall:::entry /pid == $target/ { @[probefunc] = count(); }",
            3,
        ),
        records("200 k records, text", NUMBERS, Handler::Text),
        records("200 k records, rows of two numbers", NUMBERS, Handler::Rows),
        records("200 k records, `trace()`", TRACE, Handler::Firings),
        paced("900 records a second", 1050, 2000),
        paced("100 records a second", 10_000, 600),
        walk("1 k keys", 1000),
        walk("20 k keys", 20_000),
        walk("100 k keys", 100_000),
    ]
}
