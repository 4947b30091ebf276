//! How are the figures shown?

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clocks::median;
use crate::rows::{self, Figure, Row};
use crate::tracers::{Run, Tracers, settle};
use crate::{growth, plot};

/// Where docs/performance.md has the table.
pub(crate) const TABLE: (&str, &str) = ("<!-- table of cargo bench -->\n", "<!-- end of table -->");

/// Where it has the plots.
const GROWTH: (&str, &str) = ("<!-- plots of cargo bench -->\n", "<!-- end of plots -->");

/// The runs of each tracer.
struct Runs {
    ours: Vec<Run>,
    dtrace1: Vec<Run>,
    bpftrace: Vec<Run>,
}

/// Measures the rows whose names contain `what`. Returns the table, which it also prints line by line.
pub(crate) fn table(tracers: &Tracers, machine: &str, what: &str) -> io::Result<String> {
    let mut table = String::new();
    let mut say = |line: String| {
        println!("{line}");
        let _ = writeln!(table, "{line}");
    };
    let bpftrace = tracers.bpftrace_version().map_or_else(String::new, |it| format!(", {it}"));
    say(format!("{machine}{bpftrace}. Medians, and the lowest and highest of all runs.\n"));
    say("| what | figure | dtrace-consumer | dtrace(1) | ratio | bpftrace |".to_owned());
    say("|---|---|---|---|---|---|".to_owned());
    for row in rows::all().into_iter().filter(|row| row.what.contains(what)) {
        let runs = runs(tracers, &row)?;
        for figure in row.figures {
            say(line(&row, *figure, &runs));
        }
    }
    Ok(table)
}

/// Runs all tracers in turns.
fn runs(tracers: &Tracers, row: &Row) -> io::Result<Runs> {
    let mut runs = Runs { ours: Vec::new(), dtrace1: Vec::new(), bpftrace: Vec::new() };
    for _ in 0..row.rounds {
        settle();
        runs.ours.push(tracers.ours(&row.job)?);
        runs.dtrace1.push(tracers.dtrace1(&row.job)?);
        runs.bpftrace.extend(tracers.bpftrace(&row.job)?);
    }
    Ok(runs)
}

/// Returns how many times as much a figure of dtrace(1) is. If something was lost, that says nothing.
fn ratio(figure: Figure, runs: &Runs) -> Option<f64> {
    let [ours, theirs] =
        [&runs.ours, &runs.dtrace1].map(|runs| median_of(figure, runs).as_secs_f64());
    let lost = runs.ours.iter().chain(&runs.dtrace1).any(|run| run.drops > 0);
    Some(theirs / ours).filter(|_| !lost && ours > 0.0)
}

/// Returns a ratio as the table has it.
fn written(ratio: f64) -> String {
    let decimals = if ratio < 1.0 { 2 } else { 1 };
    format!("{ratio:.decimals$}")
}

fn line(row: &Row, figure: Figure, runs: &Runs) -> String {
    let ratio = ratio(figure, runs).map_or_else(|| "–".to_owned(), written);
    let cell = |runs: &[Run]| if runs.is_empty() { "–".to_owned() } else { cell(figure, runs) };
    format!(
        "{}{} | {} | {ratio} | {} |",
        beginning(row, figure),
        cell(&runs.ours),
        cell(&runs.dtrace1),
        cell(&runs.bpftrace)
    )
}

/// Returns the cells that say what a line is about.
fn beginning(row: &Row, figure: Figure) -> String {
    format!("| {} | {} | ", row.what, figure.name())
}

/// Returns the median, how far the runs are from it, and what was lost.
fn cell(figure: Figure, runs: &[Run]) -> String {
    let all = runs.iter().map(|run| figure.of(run));
    let (least, most) = (all.clone().min().unwrap_or_default(), all.max().unwrap_or_default());
    let middle = median_of(figure, runs);
    let spread =
        if runs.len() > 1 { format!(" ({least:.2?} to {most:.2?})") } else { String::new() };
    let drops: u64 = runs.iter().map(|run| run.drops).sum();
    let lost = if drops > 0 { format!(", {drops} lost") } else { String::new() };
    format!("{middle:.2?}{spread}{lost}")
}

fn median_of(figure: Figure, runs: &[Run]) -> Duration {
    median(runs.iter().map(|run| figure.of(run)).collect())
}

/// Returns what the figures were measured on.
pub(crate) fn machine() -> io::Result<String> {
    let said = |program: &str, words: &[&str]| -> io::Result<String> {
        let output = Command::new(program).args(words).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = std::thread::available_parallelism()?;
    let commit = said("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
    let kernel = said("uname", &["-rm"])?;
    Ok(format!("Commit {commit}, kernel {kernel}, {cpus} CPUs"))
}

/// Measures how costs grow. Prints it, and puts it into the docs if it is to be kept.
pub(crate) fn growth(
    tracers: &Tracers,
    machine: &str,
    is_kept: bool,
) -> Result<(), Box<dyn Error>> {
    let pictures = performance().with_extension("");
    let mut text = format!(
        "How costs grow. {machine}. Medians of three runs, of dtrace(1) single runs. This crate's sessions are not \
         the first ones of their program.\n"
    );
    for plot in growth::all(tracers)? {
        let table = plot::table(&plot);
        println!("{table}");
        let _ = write!(text, "\n{table}");
        if is_kept {
            fs::create_dir_all(&pictures)?;
            plot::draw(&plot).save(&pictures.join(plot.name).with_extension("svg"))?;
        }
    }
    if is_kept {
        write(&text, GROWTH)?;
    }
    Ok(())
}

/// Measures a few figures again, and compares their ratios with the least ones in the docs.
///
/// # Errors
/// One has fallen below half of that.
pub(crate) fn check(tracers: &Tracers) -> io::Result<()> {
    let text = fs::read_to_string(performance())?;
    let mut worse = Vec::new();
    for mut row in rows::all().into_iter().filter(|row| row.is_checked) {
        row.rounds = 5;
        row.job.bpftrace = None;
        let runs = runs(tracers, &row)?;
        for figure in row.figures {
            let claim = text.lines().find_map(|line| line.strip_prefix(&beginning(&row, *figure)));
            let claimed = claim.and_then(least);
            let what = format!("{}, {}", row.what, figure.name());
            let lost: u64 = runs.ours.iter().map(|run| run.drops).sum();
            let (said, is_good) = match (claimed, ratio(*figure, &runs)) {
                _ if lost > 0 => (format!("{lost} records lost"), false),
                (None, _) => ("the docs state no ratio".to_owned(), false),
                (Some(_), None) => {
                    ("not compared, because dtrace(1) has lost records".to_owned(), true)
                }
                (Some(claimed), Some(ratio)) => {
                    let said = format!("{}, docs {} or more", written(ratio), written(claimed));
                    (said, ratio >= claimed / 2.0)
                }
            };
            println!("{what}: {said}");
            worse.extend((!is_good).then(|| format!("{what}: {said}")));
        }
    }
    if worse.is_empty() { Ok(()) } else { Err(io::Error::other(worse.join("\n"))) }
}

/// Returns the least ratio that a line's cells allow: dtrace(1)'s lowest time divided by this crate's median. The time that
/// dtrace(1) takes to end varies by a factor of more than two.
fn least(cells: &str) -> Option<f64> {
    let mut cells = cells.split(" | ");
    let ours = times(cells.next()?).next()?;
    let theirs = times(cells.next()?).reduce(f64::min)?;
    // Of lost records, there is no ratio.
    cells.next()?.parse::<f64>().is_ok().then_some(theirs / ours)
}

/// Returns the times in a cell, in seconds: the median, and the lowest and highest if there are several runs.
fn times(cell: &str) -> impl Iterator<Item = f64> {
    const UNITS: [(&str, f64); 4] = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    cell.split([' ', '(', ')']).filter_map(|word| {
        let of = |(unit, seconds): &(&str, f64)| {
            word.strip_suffix(unit)?.parse().ok().map(|number: f64| number * seconds)
        };
        UNITS.iter().find_map(of)
    })
}

fn performance() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")
}

/// Puts a text into the docs, between `begin` and `end`.
pub(crate) fn write(text: &str, (begin, end): (&str, &str)) -> io::Result<()> {
    let file = performance();
    let page = fs::read_to_string(&file)?;
    let parts =
        page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let Some((before, after)) = parts else {
        return Err(io::Error::other(format!("{} has no place for it", file.display())));
    };
    fs::write(&file, format!("{before}{begin}\n{text}\n{end}{after}"))
}
