//! How does dtrace(1) print a session?
//!
//! The example `dtrace` prints firings in the same layout (`examples/dtrace/output.rs`), and also runs the commands of
//! `system()` and opens the files of `freopen()`. A change of the layout concerns both.

use std::io::{self, Write};

use dtrace_consumer::loss::{DropReport, Fault};
use dtrace_consumer::record::{Action, FlowKind};
use dtrace_consumer::session::OptionChange;
use dtrace_consumer::{CallbackResult, Consumer, Firing, Outcome, Wants};

use crate::complain::complain;

/// The widest indent of a function in the style of `flowindent`. A damaged recording may ask for any.
const MOST_INDENT: usize = 1 << 10;

/// Prints a recording like dtrace(1). Commands of `system()` are not run, and `freopen()` opens nothing.
pub(crate) struct Printer<W> {
    out: W,
    quiet: bool,
    flow: bool,
    /// Changes by `setopt()`, which apply from the records of the next firing on.
    quiet_next: Option<bool>,
    flow_next: Option<bool>,
    is_headed: bool,
}

impl<W: Write> Printer<W> {
    pub(crate) fn new(out: W) -> Printer<W> {
        Printer {
            out,
            quiet: false,
            flow: false,
            quiet_next: None,
            flow_next: None,
            is_headed: false,
        }
    }

    fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_headed, true) {
            Ok(())
        } else if self.flow {
            writeln!(self.out, "{:>3} {:<41}", "CPU", "FUNCTION")
        } else if !self.quiet {
            writeln!(self.out, "{:>3} {:>6} {:>32}", "CPU", "ID", "FUNCTION:NAME")
        } else {
            Ok(())
        }
    }

    fn name(&mut self, firing: &Firing<'_>) -> io::Result<()> {
        let (probe, cpu) = (firing.probe(), firing.cpu());
        let full = format!("{}:{}", probe.function, probe.name);
        match firing.flow().filter(|_| self.flow) {
            Some(flow) => {
                let name = if flow.kind == FlowKind::None { &full } else { &probe.function };
                let indent = usize::try_from(flow.indent).unwrap_or(0).min(MOST_INDENT);
                let name = format!("{:indent$}{}{name}", "", flow.prefix);
                write!(self.out, "{cpu:>3} {name:<41} ")
            }
            None if self.flow => write!(self.out, "{cpu:>3} {full:<41} "),
            None if self.quiet => Ok(()),
            None => write!(self.out, "{cpu:>3} {:>6} {full:>32} ", probe.id),
        }
    }
}

impl<W: Write> Consumer for Printer<W> {
    fn wants(&self) -> Wants {
        Wants::CHEW | Wants::REPORT.if_recorded()
    }

    fn on_start(&mut self, session: &Outcome) -> CallbackResult {
        self.quiet = session.initial_option("quiet").is_some();
        self.flow = session.initial_option("flowindent").is_some();
        Ok(())
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        self.head()?;
        self.name(firing)?;
        self.quiet = self.quiet_next.take().unwrap_or(self.quiet);
        self.flow = self.flow_next.take().unwrap_or(self.flow);
        for output in firing.output() {
            if !matches!(output.action(), Some(Action::System | Action::Freopen)) {
                self.out.write_all(output.bytes())?;
            }
        }
        if !self.quiet {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn report(&mut self, text: &[u8]) -> CallbackResult {
        writeln!(self.out)?;
        Ok(self.out.write_all(text)?)
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        match change.name.as_str() {
            "quiet" => self.quiet_next = Some(change.new.is_some()),
            "flowindent" => self.flow_next = Some(change.new.is_some()),
            _ => {}
        }
        Ok(())
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        Ok(complain("dtrace", &report.message)?)
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        Ok(complain("dtrace", &fault.message)?)
    }
}
