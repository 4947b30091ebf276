//! Tracing, as dtrace(1) does it without a mode.

use std::cell::RefCell;
use std::io::Write;

use dtrace_consumer::{Error, LossPolicy, Outcome, StopHandle};

use crate::arguments::Arguments;
use crate::list::write_stability;
use crate::output::{self, Style};

const NO_PROBES: &str = "no probes matched";

pub(crate) fn run(arguments: Arguments) -> Result<u8, String> {
    if arguments.programs.is_empty() {
        return Err("no probes specified".to_owned());
    }
    let out = RefCell::new(output::open(arguments.output.as_deref())?);
    let style = Style::default();
    let stop = StopHandle::new();
    let on_signal = stop.clone();
    // Without a handler Ctrl-C would end this program before everything is printed.
    ctrlc::set_handler(move || {
        println!();
        on_signal.stop();
    })
    .map_err(|e| e.to_string())?;

    let result = arguments
        .session()?
        .losses(LossPolicy::Count)
        .formatted()
        .keep_system()
        .read_option("quiet")
        .read_option("flowindent")
        .read_option("destructive")
        .stop_handle(&stop)
        .on_start(|session| {
            announce(&arguments, &style, session);
            if !arguments.zero_matches && session.programs.iter().all(|info| info.matches == 0) {
                return Err(NO_PROBES.into());
            }
            if arguments.verbose {
                write_stability(&mut *out.borrow_mut(), &arguments, &session.programs)?;
            }
            if session.initial_option("destructive").is_some() && !style.quiet.get() {
                eprintln!("dtrace: allowing destructive actions");
            }
            Ok(())
        })
        .on_option(|change| {
            match change.name.as_str() {
                "quiet" => style.quiet_next.set(Some(change.new.is_some())),
                "flowindent" => style.flow_next.set(Some(change.new.is_some())),
                _ => {}
            }
            Ok(())
        })
        .on_process(|event| {
            if let (false, Some(message), false) = (event.gone, &event.message, style.quiet.get()) {
                eprintln!("dtrace: {message}");
            }
            Ok(())
        })
        .on_drop(|report| {
            eprintln!("dtrace: {}", report.message);
            Ok(())
        })
        .on_fault(|fault| {
            eprintln!("dtrace: {}", fault.message);
            Ok(())
        })
        .chew(|firing| style.write(&mut out.borrow_mut(), firing))
        .report(|text| {
            let mut out = out.borrow_mut();
            writeln!(out)?;
            out.write_all(text)?;
            Ok(out.flush()?)
        })
        .run();
    match result {
        // Like dtrace(1): of the script's status what an exit status can hold.
        Ok(outcome) => Ok(outcome.exit.unwrap_or(0) as u8),
        Err(failure) => {
            if matches!(failure.error, Error::Libdtrace { .. } | Error::Enable { .. })
                && failure.outcome.timings.startup.is_zero()
            {
                announce(&arguments, &style, &failure.outcome);
            }
            match failure.error {
                Error::Callback { cause, .. } => Err(cause.to_string()),
                error => Err(arguments.message(&error)),
            }
        }
    }
}

/// Says how many probes each program matched.
fn announce(arguments: &Arguments, style: &Style, session: &Outcome) {
    style.quiet.set(session.initial_option("quiet").is_some());
    style.flow.set(session.initial_option("flowindent").is_some());
    if style.quiet.get() {
        return;
    }
    for (program, info) in arguments.programs.iter().zip(&session.programs) {
        let plural = if info.matches == 1 { "" } else { "s" };
        let (kind, name, n) = (program.kind(), program.name(), info.matches);
        eprintln!("dtrace: {kind} '{name}' matched {n} probe{plural}");
    }
}
