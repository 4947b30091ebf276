//! How are the figures shown?

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dtrace_test_support::Need;

use crate::rows::{self, Figure, Row};
use crate::tracers::{Run, Tracers};

/// Where docs/performance.md has the table.
const BEGIN: &str = "<!-- table of cargo bench -->\n";
const END: &str = "<!-- end of table -->";

/// The runs of each tracer.
struct Runs {
    ours: Vec<Run>,
    dtrace1: Vec<Run>,
    bpftrace: Vec<Run>,
}

/// Measures everything. Returns the table, which it also prints line by line.
pub(crate) fn table(scratch: &Path) -> io::Result<String> {
    let tracers = Tracers::new(scratch)?;
    let has_bpftrace = Need::Command("bpftrace").check().is_ok();
    let mut table = String::new();
    let mut say = |line: String| {
        println!("{line}");
        let _ = writeln!(table, "{line}");
    };
    say(format!("{}\n", machine()?));
    say("| what | figure | dtrace-consumer | dtrace(1) | ratio | bpftrace |".to_owned());
    say("|---|---|---|---|---|---|".to_owned());
    for row in rows::all() {
        let runs = runs(&tracers, &row, has_bpftrace)?;
        for figure in row.figures {
            say(line(&row, *figure, &runs));
        }
    }
    Ok(table)
}

/// Runs all tracers in turns.
fn runs(tracers: &Tracers, row: &Row, has_bpftrace: bool) -> io::Result<Runs> {
    let mut runs = Runs { ours: Vec::new(), dtrace1: Vec::new(), bpftrace: Vec::new() };
    for _ in 0..row.rounds {
        runs.ours.push(tracers.ours(&row.job)?);
        runs.dtrace1.push(tracers.dtrace1(&row.job)?);
        if let Some(script) = row.job.bpftrace.filter(|_| has_bpftrace) {
            runs.bpftrace.push(tracers.bpftrace(&row.job, script)?);
        }
    }
    Ok(runs)
}

fn line(row: &Row, figure: Figure, runs: &Runs) -> String {
    let [ours, theirs] = [&runs.ours, &runs.dtrace1].map(|runs| median(figure, runs).as_secs_f64());
    let comparable = runs.ours.iter().chain(&runs.dtrace1).all(|run| run.drops == 0) && ours > 0.0;
    let ratio = if comparable { format!("{:.1}", theirs / ours) } else { "–".to_owned() };
    let cell = |runs: &[Run]| if runs.is_empty() { "–".to_owned() } else { cell(figure, runs) };
    format!(
        "| {} | {} | {} | {} | {ratio} | {} |",
        row.what,
        figure.name(),
        cell(&runs.ours),
        cell(&runs.dtrace1),
        cell(&runs.bpftrace)
    )
}

/// Returns the median, how far the runs are from it, and what was lost.
fn cell(figure: Figure, runs: &[Run]) -> String {
    let all = runs.iter().map(|run| figure.of(run));
    let (least, most) = (all.clone().min().unwrap_or_default(), all.max().unwrap_or_default());
    let middle = median(figure, runs);
    let spread =
        if runs.len() > 1 { format!(" ({least:.2?} to {most:.2?})") } else { String::new() };
    let drops: u64 = runs.iter().map(|run| run.drops).sum();
    let lost = if drops > 0 { format!(", {drops} lost") } else { String::new() };
    format!("{middle:.2?}{spread}{lost}")
}

fn median(figure: Figure, runs: &[Run]) -> Duration {
    let mut values: Vec<Duration> = runs.iter().map(|run| figure.of(run)).collect();
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Returns what the figures were measured on.
fn machine() -> io::Result<String> {
    let said = |program: &str, words: &[&str]| -> io::Result<String> {
        let output = Command::new(program).args(words).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = std::thread::available_parallelism()?;
    let commit = said("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
    let kernel = said("uname", &["-rm"])?;
    Ok(format!(
        "Commit {commit}, kernel {kernel}, {cpus} CPUs. Medians, and the lowest and highest of all runs."
    ))
}

/// Puts the table into the docs.
pub(crate) fn write(table: &str) -> io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let text = fs::read_to_string(&file)?;
    let parts =
        text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(io::Error::other(format!("{} has no place for the table", file.display())));
    };
    fs::write(&file, format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}
