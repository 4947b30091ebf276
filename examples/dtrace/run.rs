//! How are programs traced? This is what happens unless an option selects another mode.

use std::io::Write;
use std::time::Duration;

use dtrace_consumer::loss::{DropReport, Fault, LossPolicy};
use dtrace_consumer::session::{OptionChange, ProcessEvent};
use dtrace_consumer::{CallbackResult, Consumer, Error, Firing, Outcome, StopHandle, Wants};

use crate::arguments::Arguments;
use crate::list::write_stability;
use crate::output::{self, Destination, Style};

const NO_PROBES: &str = "no probes matched";

/// How long a command has to handle the terminal's interrupt, which it gets too. Then the session ends, with everything
/// that was recorded, and a command that is still there gets SIGTERM. Without this pause it might get that instead.
const HANDLING: Duration = Duration::from_millis(300);

/// How long an aborted session has to end.
const ABORTING: Duration = Duration::from_millis(500);

/// The exit status of a program that SIGINT ended, as shells give it.
const INTERRUPTED: i32 = 130;

pub(crate) fn run(arguments: Arguments) -> Result<u8, String> {
    if arguments.programs.is_empty() {
        return Err("no probes specified".to_owned());
    }
    let out = output::open(arguments.output.as_deref())?;
    let stop = StopHandle::new();
    end_on_signals(stop.clone(), !arguments.commands.is_empty())?;

    let session = arguments.session()?;
    let mut printer = Printer { arguments: &arguments, style: Style::default(), out };
    let result = session
        .losses(LossPolicy::Count)
        .formatted()
        .keep_system()
        .read_option("quiet")
        .read_option("flowindent")
        .read_option("destructive")
        .stop_handle(&stop)
        .consumer(&mut printer)
        .run();
    match result {
        // Truncates the script's status to an exit status, like dtrace(1).
        Ok(outcome) => Ok(outcome.exit.unwrap_or(0) as u8),
        Err(failure) => {
            if matches!(failure.error, Error::Libdtrace { .. } | Error::Enable { .. })
                && failure.outcome.timings.startup.is_zero()
            {
                printer.announce(&failure.outcome);
            }
            match failure.error {
                Error::Callback { cause, .. } => Err(cause.to_string()),
                error => Err(arguments.message(&error)),
            }
        }
    }
}

/// Ends the session at the first Ctrl-C, with everything that was recorded, and this program at the second one.
fn end_on_signals(stop: StopHandle, has_commands: bool) -> Result<(), String> {
    let mut is_second = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut is_second, true) {
            stop.abort();
            std::thread::sleep(ABORTING);
            // Output that nobody reads may block the session. The worker and the command end by
            // themselves.
            std::process::exit(INTERRUPTED);
        }
        let stop = stop.clone();
        // The output may not be read now. Neither that nor the wait must keep this thread from the next signal.
        std::thread::spawn(move || {
            if has_commands {
                std::thread::sleep(HANDLING);
            }
            stop.stop();
            println!();
        });
    })
    .map_err(|e| e.to_string())
}

/// Prints everything that is delivered, like dtrace(1).
struct Printer<'a> {
    arguments: &'a Arguments,
    style: Style,
    out: Destination,
}

impl Printer<'_> {
    /// Prints how many probes each program matched.
    fn announce(&mut self, session: &Outcome) {
        self.style.quiet = session.initial_option("quiet").is_some();
        self.style.flow = session.initial_option("flowindent").is_some();
        if self.style.quiet {
            return;
        }
        for (program, info) in self.arguments.programs.iter().zip(&session.programs) {
            let plural = if info.matches == 1 { "" } else { "s" };
            let (kind, name, n) = (program.kind(), program.name(), info.matches);
            eprintln!("dtrace: {kind} '{name}' matched {n} probe{plural}");
        }
    }
}

impl Consumer for Printer<'_> {
    fn wants(&self) -> Wants {
        Wants::CHEW | Wants::REPORT
    }

    fn on_start(&mut self, session: &Outcome) -> CallbackResult {
        self.announce(session);
        let matched = session.programs.iter().any(|info| info.matches > 0);
        if !self.arguments.zero_matches && !matched {
            return Err(NO_PROBES.into());
        }
        if self.arguments.verbose {
            write_stability(&mut self.out, self.arguments, &session.programs)?;
        }
        if session.initial_option("destructive").is_some() && !self.style.quiet {
            eprintln!("dtrace: allowing destructive actions");
        }
        Ok(())
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        self.style.write(&mut self.out, firing)
    }

    fn report(&mut self, text: &[u8]) -> CallbackResult {
        writeln!(self.out)?;
        self.out.write_all(text)?;
        Ok(self.out.flush()?)
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        match change.name.as_str() {
            "quiet" => self.style.quiet_next = Some(change.new.is_some()),
            "flowindent" => self.style.flow_next = Some(change.new.is_some()),
            _ => {}
        }
        Ok(())
    }

    fn on_process(&mut self, event: &ProcessEvent) -> CallbackResult {
        if let (false, Some(message), false) = (event.gone, &event.message, self.style.quiet) {
            eprintln!("dtrace: {message}");
        }
        Ok(())
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        eprintln!("dtrace: {}", report.message);
        Ok(())
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        eprintln!("dtrace: {}", fault.message);
        Ok(())
    }
}
