//! How do the costs grow with what is traced?

use std::io;

use dtrace_consumer::query::ProbeQuery;

use crate::rows::{self, Figure};
use crate::traced::Work;
use crate::tracers::{Handler, Job, Run, Tracers};

/// One quantity against another.
pub(crate) struct Plot {
    /// The name of its file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) by: &'static str,
    /// What is measured: a time.
    pub(crate) what: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// The medians of a tracer.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(u32, f64)>,
}

/// How often each point is measured.
const ROUNDS: usize = 3;

/// Measures all plots.
pub(crate) fn all(tracers: &Tracers) -> io::Result<Vec<Plot>> {
    Ok(vec![probes(tracers)?, keys(tracers)?, sizes(tracers)?, sessions(tracers)?])
}

const OURS: &str = "dtrace-consumer";
const DTRACE1: &str = "dtrace(1)";

/// Measures one point: the median of a figure, in seconds.
fn point(figure: Figure, run: impl Fn() -> io::Result<Run>) -> io::Result<f64> {
    let mut values = Vec::new();
    for _ in 0..ROUNDS {
        values.push(figure.of(&run()?).as_secs_f64());
    }
    values.sort_by(f64::total_cmp);
    Ok(values[ROUNDS / 2])
}

/// Measures a curve.
fn curve(
    name: &'static str,
    by: &[u32],
    measure: impl Fn(u32) -> io::Result<f64>,
) -> io::Result<Curve> {
    let points = by.iter().map(|by| Ok((*by, measure(*by)?))).collect::<io::Result<_>>()?;
    Ok(Curve { name, points })
}

fn probes(tracers: &Tracers) -> io::Result<Plot> {
    let listed = ProbeQuery::new().pattern("syscall:::entry").list().map_err(io::Error::other)?;
    // The traced program makes this call, and is its own end.
    let names: Vec<&str> = listed.iter().map(|probe| &*probe.probe.function).collect();
    let job = |number: u32| {
        let probes =
            names.iter().take(number as usize).map(|name| format!("syscall::{name}:entry"));
        let probes: Vec<String> = probes.collect();
        rows::start(format!("{} /pid == $target/ {{ @[probefunc] = count(); }}", probes.join(", ")))
    };
    let numbers = [1, 4, 16, 64, names.len().try_into().unwrap_or(u32::MAX)];
    Ok(Plot {
        name: "probes",
        title: "Start of a session by its number of probes",
        by: "probes",
        what: "time to tracing on",
        curves: vec![
            curve(OURS, &numbers, |it| point(Figure::Start, || tracers.ours(&job(it))))?,
            curve(DTRACE1, &numbers, |it| point(Figure::Start, || tracers.dtrace1(&job(it))))?,
        ],
    })
}

fn keys(tracers: &Tracers) -> io::Result<Plot> {
    let numbers = [10, 100, 1000, 10_000, 100_000];
    let end = |run: &dyn Fn(&Job) -> io::Result<Run>, number| {
        point(Figure::End, || run(&rows::keys(number)))
    };
    Ok(Plot {
        name: "keys",
        title: "From the traced program's end to the last entry of the walk",
        by: "keys",
        what: "time",
        curves: vec![
            curve(OURS, &numbers, |it| end(&|job| tracers.ours(job), it))?,
            // It would take minutes for more.
            curve(DTRACE1, &numbers[..4], |it| end(&|job| tracers.dtrace1(job), it))?,
        ],
    })
}

fn sizes(tracers: &Tracers) -> io::Result<Plot> {
    let job = |numbers: u32, record| Job {
        script: format!(
            "syscall::getppid:entry /pid == $target/ {{ {} }}",
            "trace(timestamp); ".repeat(numbers as usize)
        ),
        options: &[("bufsize", "32m")],
        work: Work::Calls(20_000),
        handler: Handler::Firings,
        record,
        bpftrace: None,
    };
    let numbers = [1, 4, 16, 64];
    let cpu = |run: &dyn Fn(&Job) -> io::Result<Run>, job: &Job| point(Figure::Record, || run(job));
    Ok(Plot {
        name: "sizes",
        title: "CPU time of the tracer by the size of a firing",
        by: "numbers of 8 bytes in each firing",
        what: "CPU time for each firing",
        curves: vec![
            curve(OURS, &numbers, |it| cpu(&|job| tracers.ours(job), &job(it, false)))?,
            curve("with a recording", &numbers, |it| {
                cpu(&|job| tracers.ours(job), &job(it, true))
            })?,
            curve(DTRACE1, &numbers, |it| cpu(&|job| tracers.dtrace1(job), &job(it, false)))?,
        ],
    })
}

fn sessions(tracers: &Tracers) -> io::Result<Plot> {
    let job = rows::start(rows::ONE_PROBE.to_owned());
    let last = |run: &(dyn Fn() -> io::Result<Run> + Sync), number: u32| {
        let mut latest = Vec::new();
        for _ in 0..ROUNDS {
            let runs: io::Result<Vec<Run>> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..number).map(|_| scope.spawn(run)).collect();
                threads
                    .into_iter()
                    .map(|it| it.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
                    .collect()
            });
            latest.push(
                runs?.iter().map(|run| Figure::Start.of(run).as_secs_f64()).fold(0.0, f64::max),
            );
        }
        latest.sort_by(f64::total_cmp);
        Ok(latest[ROUNDS / 2])
    };
    let numbers = [1, 2, 4, 8];
    Ok(Plot {
        name: "sessions",
        title: "Start of the last of several sessions at once",
        by: "sessions",
        what: "time to tracing on",
        curves: vec![
            curve(OURS, &numbers, |it| last(&|| tracers.ours(&job), it))?,
            curve(DTRACE1, &numbers, |it| last(&|| tracers.dtrace1(&job), it))?,
        ],
    })
}
