//! What does tracing cost, compared with dtrace(1) and bpftrace(8)?
//!
//! All trace the same program with the same scripts, alternately, on the same machine. Compare the ratios of the
//! medians, because machines differ. With these words after `--`:
//!
//! - `--only TEXT` measures the rows of the table whose names contain the text;
//! - `--write` puts the table into docs/performance.md, and then plots of how costs grow;
//! - `--growth` measures only what the plots show, and prints it;
//! - `--check` measures a few rows, and fails if a ratio is less than half of the least one in docs/performance.md.
//!
//! The traced program is this one. It writes down its own CPU time, which includes what the kernel does for a
//! tracer in it. The CPU time of a tracer is that of its processes between the first record and the last, so that
//! neither starting and ending nor the traced program is charged to it.

use std::path::Path;

use dtrace_test_support::Need;

mod clocks;
mod growth;
mod plot;
mod report;
mod rows;
mod traced;
mod tracers;

use tracers::Tracers;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, file, rest @ ..] = &words[..]
        && word == traced::WORD
    {
        return traced::run(Path::new(file), rest);
    }
    if let Err(missing) = Need::Tracing.check() {
        return Err(format!("{}\n{}", missing.what, missing.details).into());
    }
    // What later workers are copies of has lost its parent. With this, it and they are descendants of this process.
    nix::sys::prctl::set_child_subreaper(true)?;
    // Tests that run meanwhile tell by the number whose it is.
    let prefix = format!("dtrace-bench-{}-", std::process::id());
    let scratch = tempfile::Builder::new().prefix(&prefix).tempdir()?;
    measure(scratch.path(), &words)
}

fn measure(scratch: &Path, words: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let is_asked = |what: &str| words.iter().any(|word| word == what);
    let tracers = Tracers::new(scratch)?;
    if is_asked("--check") {
        return Ok(report::check(&tracers)?);
    }
    // What is written below changes the docs.
    let machine = report::machine()?;
    if let Some(at) = words.iter().position(|word| word == "--only") {
        let what = words.get(at + 1).ok_or("--only needs a text")?;
        return Ok(report::table(&tracers, &machine, what).map(drop)?);
    }
    if !is_asked("--growth") {
        let table = report::table(&tracers, &machine, "")?;
        if is_asked("--write") {
            report::write(&table, report::TABLE)?;
        }
    }
    if is_asked("--growth") || is_asked("--write") {
        report::growth(&tracers, &machine, is_asked("--write"))?;
    }
    Ok(())
}
