//! Makes, shows, replays, cuts and anonymises recordings. Which subcommand does what?

mod arguments;
mod complain;
mod info;
mod output;
mod printed;
#[cfg(feature = "live")]
mod record;
mod stub;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use dtrace_consumer::loss::LossPolicy;
use dtrace_consumer::ndjson::Lines;
use dtrace_consumer::recording::{Anonymise, Cut, RecordingInfo};
use dtrace_consumer::{Error, Failure, replay};

use arguments::{Arguments, Subcommand};

fn main() -> ExitCode {
    match run(Arguments::parse().subcommand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // If standard error is closed, the status alone tells of the failure.
            let _ = complain::complain("dtrace-recording", &message);
            ExitCode::FAILURE
        }
    }
}

fn run(subcommand: Subcommand) -> Result<(), String> {
    match subcommand {
        #[cfg(feature = "live")]
        Subcommand::Record(wanted) => say(record::record(&wanted)?),
        Subcommand::Stub { recording } => say(stub::of(&recording)?),
        Subcommand::Info { json, recording } => show(json, &recording),
        Subcommand::Replay { ndjson, recording } => {
            // What was lost is among the output.
            let session = replay(&recording).losses(LossPolicy::Count);
            let out = io::stdout().lock();
            let result = match ndjson {
                true => {
                    let mut lines = Lines::new(BufWriter::new(out));
                    let result = session.consumer(&mut lines).run();
                    // The error also goes to standard error, so a failed write does not matter.
                    result.inspect_err(|failure| drop(lines.failure(failure)))
                }
                false => session.formatted().consumer(printed::Printer::new(out)).run(),
            };
            match result {
                Err(failure) if !is_unread(&failure) => Err(failure.error.to_string()),
                _ => Ok(()),
            }
        }
        Subcommand::Cut { from, until, probes, skip, take, files } => {
            let mut cut = probes.iter().fold(Cut::new().skip(skip), |cut, probe| cut.probe(probe));
            cut = from.map_or(cut.clone(), |time| cut.from(time));
            cut = until.map_or(cut.clone(), |time| cut.until(time));
            cut = take.map_or(cut.clone(), |n| cut.take(n));
            let write = |target: &mut File| {
                cut.apply_file(&files.recording, target).map_err(|error| error.to_string())
            };
            let kept = output::write(&files.output, files.force, write)?;
            say(format!("kept {} of {} firings", kept.firings, kept.of))
        }
        Subcommand::Anonymise { hide, files } => {
            let anonymise =
                hide.iter().fold(Anonymise::new(), |anonymise, word| anonymise.hide(word));
            let write = |target: &mut File| {
                anonymise.apply_file(&files.recording, target).map_err(|error| error.to_string())
            };
            let r = output::write(&files.output, files.force, write)?;
            say(format!(
                "replaced {} processes, {} users, {} addresses, {} paths, {} hosts, {} hidden words; cleared {} \
                 records of memory; left out {} texts",
                r.processes, r.users, r.addresses, r.paths, r.hosts, r.hidden, r.memory, r.texts
            ))
        }
    }
}

fn show(json: bool, recording: &Path) -> Result<(), String> {
    let found = RecordingInfo::read_file(recording).map_err(|error| error.to_string())?;
    let text = match json {
        true => serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?,
        false => info::describe(&found),
    };
    say(text)?;
    found.damage.map_or(Ok(()), Err)
}

/// Writes a line to standard output. A reader that has gone, such as `head`, is no failure.
fn say(line: String) -> Result<(), String> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Returns whether nobody reads the output any more.
fn is_unread(failure: &Failure) -> bool {
    matches!(&failure.error, Error::Callback { cause, .. }
        if cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
