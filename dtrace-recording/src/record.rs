//! How is a D script recorded from the command line?

use dtrace_consumer::{Failure, Outcome, Script, StopHandle, trace};
use tempfile::TempPath;

use crate::arguments::Record;
use crate::complain::complain;
use crate::output::{Target, Unnamed};

/// Records a session. Returns what to say about it.
pub(crate) fn record(wanted: &Record) -> Result<String, String> {
    let script = Script::file(&wanted.script).map_err(|error| error.to_string())?;
    let target = Target::new(&wanted.output, wanted.force)?;
    let (temporary, stop) = (target.temporary()?.into_temp_path(), StopHandle::new());
    end_on_signals(stop.clone())?;
    let result = run(wanted, script, &temporary, &stop);
    if let Err(failure) = &result
        && failure.outcome.timings.startup.is_zero()
    {
        return Err(failure.error.to_string());
    }
    // What was traced cannot be traced again. So the file is left even without its name.
    let kept = target.keep(temporary).map_err(Unnamed::rescue);
    match (result, kept) {
        (Ok(outcome), Ok(())) => Ok(describe(wanted, &outcome)),
        (Ok(_), Err(message)) => Err(message),
        (Err(failure), Ok(())) => Err(format!(
            "{}\nwhat was recorded before is in {}",
            failure.error,
            wanted.output.display()
        )),
        (Err(failure), Err(message)) => Err(format!("{}\n{message}", failure.error)),
    }
}

fn run(
    wanted: &Record,
    script: Script,
    file: &TempPath,
    stop: &StopHandle,
) -> Result<Outcome, Failure> {
    let mut session = trace(script).record(file.to_path_buf()).formatted().stop_handle(stop);
    for option in &wanted.options {
        session = match option.split_once('=') {
            Some((name, value)) => session.option(name, value),
            None => session.flag(option),
        };
    }
    // With the report, a replay prints the aggregations as dtrace(1) does.
    match wanted.command.as_slice() {
        [] => session.report(|_| Ok(())).run(),
        command => session.command(command.to_vec()).report(|_| Ok(())).run(),
    }
}

/// Ends the session at a signal, with everything that was recorded, and discards the rest at the next one.
fn end_on_signals(stop: StopHandle) -> Result<(), String> {
    let mut is_second = false;
    ctrlc::set_handler(move || match std::mem::replace(&mut is_second, true) {
        false => stop.stop(),
        true => stop.abort(),
    })
    .map_err(|cause| format!("cannot handle signals: {cause}"))
}

fn describe(wanted: &Record, outcome: &Outcome) -> String {
    if let Some(command) = outcome.command.as_ref().filter(|command| !command.status.success()) {
        // The recording is whole nevertheless.
        let _ = complain("dtrace-recording", &format!("the command ended with {}", command.status));
    }
    let name = wanted.output.display();
    format!("recorded {} firings in {name}; {}", outcome.firings, outcome.losses)
}
