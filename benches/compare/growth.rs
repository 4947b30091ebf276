//! How do the costs grow with what is traced?

use std::io;
use std::time::Duration;

use dtrace_consumer::query::ProbeQuery;

use crate::clocks::median;
use crate::rows::{self, Figure};
use crate::traced::Work;
use crate::tracers::{Handler, Job, Run, Tracers, settle};

/// One quantity against another.
pub(crate) struct Plot {
    /// The name of its file.
    pub(crate) name: &'static str,
    /// It says of which time.
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) by: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// The medians of a tracer.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(u32, f64)>,
}

/// Measures all plots.
pub(crate) fn all(tracers: &Tracers) -> io::Result<Vec<Plot>> {
    Ok(vec![probes(tracers)?, keys(tracers)?, sizes(tracers)?, sessions(tracers)?])
}

const OURS: &str = "dtrace-consumer";
const DTRACE1: &str = "dtrace(1)";

/// How a tracer runs a job.
type Trace<'t> = &'t (dyn Fn(&Job) -> io::Result<Run> + Sync);

/// Measures a curve: the median of some runs of this crate, and one of dtrace(1), which takes long to end.
fn curve(
    name: &'static str,
    by: &[u32],
    measure: impl Fn(u32) -> io::Result<Duration>,
) -> io::Result<Curve> {
    let rounds = if name == DTRACE1 { 1 } else { 3 };
    let point = |by: &u32| {
        let measure = |_| {
            settle();
            measure(*by)
        };
        let times = (0..rounds).map(measure).collect::<io::Result<_>>()?;
        Ok((*by, median(times).as_secs_f64()))
    };
    Ok(Curve { name, points: by.iter().map(point).collect::<io::Result<_>>()? })
}

/// Measures a figure of the same jobs with this crate and with dtrace(1), up to a number.
fn both(
    tracers: &Tracers,
    figure: Figure,
    by: &[u32],
    most: u32,
    job: impl Fn(u32) -> Job,
) -> io::Result<Vec<Curve>> {
    let of = |trace: Trace<'_>, by| Ok(figure.of(&trace(&job(by))?));
    let fewer: Vec<u32> = by.iter().copied().filter(|by| *by <= most).collect();
    Ok(vec![
        curve(OURS, by, |by| of(&|job| tracers.ours(job), by))?,
        curve(DTRACE1, &fewer, |by| of(&|job| tracers.dtrace1(job), by))?,
    ])
}

fn probes(tracers: &Tracers) -> io::Result<Plot> {
    let listed = ProbeQuery::new().pattern("syscall:::entry").list().map_err(io::Error::other)?;
    let names: Vec<&str> = listed.iter().map(|probe| &*probe.probe.function).collect();
    let job = |number: u32| {
        let probes =
            names.iter().take(number as usize).map(|name| format!("syscall::{name}:entry"));
        let probes: Vec<String> = probes.collect();
        rows::start(format!("{} /pid == $target/ {{ @[probefunc] = count(); }}", probes.join(", ")))
    };
    let numbers = [1, 4, 16, 64, names.len().try_into().unwrap_or(u32::MAX)];
    let mut curves = both(tracers, Figure::Start, &numbers, u32::MAX, job)?;
    curves.push(curve("right after another", &numbers, |number| {
        tracers.ours(&job(number))?;
        Ok(Figure::Start.of(&tracers.ours(&job(number))?))
    })?);
    Ok(Plot {
        name: "probes",
        title: "Start of a session by its number of probes",
        by: "probes",
        curves,
    })
}

fn keys(tracers: &Tracers) -> io::Result<Plot> {
    let numbers = [10, 100, 1000, 10_000, 100_000];
    Ok(Plot {
        name: "keys",
        title: "From the traced program's end to the last entry of the walk",
        by: "keys",
        // dtrace(1) would take minutes for more.
        curves: both(tracers, Figure::End, &numbers, 10_000, rows::keys)?,
    })
}

fn sizes(tracers: &Tracers) -> io::Result<Plot> {
    let job = |numbers: u32, record| {
        let actions = "trace(timestamp); ".repeat(numbers as usize);
        let script = format!("syscall::getppid:entry /pid == $target/ {{ {actions} }}");
        let options = &[("bufsize", "32m")];
        Job { options, record, ..Job::new(script, Work::Calls(20_000), Handler::Firings) }
    };
    let numbers = [1, 4, 16, 64];
    let mut curves =
        both(tracers, Figure::Record, &numbers, u32::MAX, |numbers| job(numbers, false))?;
    let recorded = |numbers| Ok(Figure::Record.of(&tracers.ours(&job(numbers, true))?));
    curves.push(curve("with a recording", &numbers, recorded)?);
    Ok(Plot {
        name: "sizes",
        title: "CPU time of the tracer by the size of a firing",
        by: "numbers of 8 bytes in each firing",
        curves,
    })
}

fn sessions(tracers: &Tracers) -> io::Result<Plot> {
    let job = rows::start(rows::ONE_PROBE);
    // The start of the last one.
    let last = |trace: Trace<'_>, number: u32| {
        let runs: io::Result<Vec<Run>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..number).map(|_| scope.spawn(|| trace(&job))).collect();
            let ended = threads.into_iter().map(|it| it.join());
            ended.map(|it| it.unwrap_or_else(|_| Err(io::Error::other("a panic")))).collect()
        });
        Ok(runs?.iter().map(|run| Figure::Start.of(run)).max().unwrap_or_default())
    };
    let numbers = [1, 2, 4, 8];
    Ok(Plot {
        name: "sessions",
        title: "Start of the last of several sessions at once",
        by: "sessions",
        curves: vec![
            curve(OURS, &numbers, |it| last(&|job| tracers.ours(job), it))?,
            curve(DTRACE1, &numbers, |it| last(&|job| tracers.dtrace1(job), it))?,
        ],
    })
}
