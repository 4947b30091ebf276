//! Shows how long reads of different sizes take, from the page cache and from the disk, as a heat map.
//!
//! ```text
//! cargo run -p dtrace-lab --example io_latency -- --plot latency.svg
//! cargo run -p dtrace-lab --example io_latency -- --directory /var/tmp --count 500
//! ```

mod cache;
mod reader;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use dtrace_consumer::aggregation::AggregationValue;
use dtrace_consumer::aggregation::Distribution;
use dtrace_consumer::{Outcome, run_synchronous};
use dtrace_lab::command;
use dtrace_lab::heat::{self, Latencies, rounded};
use dtrace_lab::sizes::short;

use reader::Source;

const SCRIPT: &str = include_str!("reads.d");

/// Shows how long reads of different sizes take
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Cli {
    /// Draw the heat map to FILE, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Create the file of 12 MiB that is read in DIRECTORY
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
    /// Make N reads of each size
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Only reads, which is what is traced
    #[command(hide = true)]
    Read {
        /// Where the data are
        source: Source,
    },
}

/// What was measured for one size.
struct Row {
    size: i64,
    times: Distribution,
}

fn main() -> ExitCode {
    command::main(|cli: Cli| match cli.role {
        Some(Role::Read { source }) => Ok(reader::read(&file(&cli.directory), source, cli.count)?),
        None => show(&cli),
    })
}

fn file(directory: &Path) -> PathBuf {
    directory.join(format!("io-latency-{}", std::process::id()))
}

fn show(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let mut measured = Vec::new();
    for source in [Source::Cached, Source::Disk] {
        let (rows, outcome) = measure(cli, source)?;
        if let Some(end) = outcome.command.filter(|end| !end.finished()) {
            return Err(format!("the reads failed: {}", end.status).into());
        }
        let name = match source {
            Source::Cached => "From the page cache",
            Source::Disk => "From the disk",
        };
        measured.push((name, rows, outcome));
    }
    if let Some(file) = &cli.plot {
        let maps = measured.iter().map(|(name, rows, _)| ((*name).to_owned(), latencies(rows)));
        heat::draw(&maps.collect::<Vec<_>>())?.save(file)?;
    }
    let mut out = io::stdout().lock();
    for (name, rows, outcome) in &measured {
        writeln!(out, "{name}\n{:>8} {:>7} {:>9} {:>9}", "bytes", "reads", "median", "99 %")?;
        for row in rows {
            let percentile = |percent| {
                let time = row.times.percentile_estimate(percent).unwrap_or(0.0);
                rounded(time as i64)
            };
            let (median, most) = (percentile(50.0), percentile(99.0));
            let (size, count) = (short(row.size), row.times.total());
            writeln!(out, "{size:>8} {count:>7} {median:>9} {most:>9}")?;
        }
        writeln!(out, "{}\n", outcome.losses)?;
    }
    Ok(())
}

/// Traces this program while it reads.
fn measure(cli: &Cli, source: Source) -> Result<(Vec<Row>, Outcome), Box<dyn Error>> {
    let words = source.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default();
    let count = cli.count.to_string();
    let mut command = std::process::Command::new(env::current_exe()?);
    command.arg("--directory").arg(&cli.directory).args(["--count", &count, "read", &words]);
    let mut rows = Vec::new();
    let outcome = run_synchronous(SCRIPT, command)
        .walk(|entry| {
            if let AggregationValue::Quantize(times) = entry.value() {
                rows.push(Row { size: entry.key(0)?, times: times.clone() });
            }
            Ok(())
        })
        .run()?;
    rows.sort_by_key(|row| row.size);
    // The loader reads libraries with pread(2), too.
    rows.retain(|row| reader::sizes().any(|size| i64::from(size) == row.size));
    Ok((rows, outcome))
}

fn latencies(rows: &[Row]) -> Latencies {
    let counts = |times: &Distribution| {
        times.counted().filter_map(|it| Some((it.range.lower?, it.count))).collect()
    };
    rows.iter().map(|row| (row.size, counts(&row.times))).collect()
}
