//! What does tracing cost, compared with dtrace(1), and with bpftrace(8) if it is installed?
//!
//! All trace the same program with the same scripts, alternately, on the same machine. Compare the ratios of the
//! medians, because machines differ. `-- --write` puts the table into docs/performance.md.
//!
//! The traced program is this one. It writes down its own CPU time, which includes what the kernel does for a
//! tracer in it. The CPU time of a tracer is that of its processes between the first record and the last, so that
//! neither starting and ending nor the traced program is charged to it.

use std::path::Path;

use dtrace_test_support::Need;

mod clocks;
mod report;
mod rows;
mod traced;
mod tracers;

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
    let scratch = std::env::temp_dir().join(format!("dtrace-bench-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    let table = report::table(&scratch);
    std::fs::remove_dir_all(&scratch)?;
    let table = table?;
    if words.iter().any(|word| word == "--write") {
        report::write(&table)?;
    }
    Ok(())
}
