//! How is each event a line of JSON?
//!
//! Each line is an object with `v`, the version of this format, and `type`. The other members are those of the
//! event's type in the crate.

use std::io::Write;

use dtrace_consumer::loss::{DropReport, Fault};
use dtrace_consumer::session::{OptionChange, ProcessEvent};
use dtrace_consumer::{Aggregated, CallbackResult, Consumer, Firing, Outcome, Wants};
use serde::Serialize;

/// The version of the lines' format.
const VERSION: u32 = 1;

/// Writes each event as a line.
pub(crate) struct Lines<W> {
    out: W,
}

#[derive(Serialize)]
struct Line<'a, T> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    event: T,
}

/// The end of a walk has no members.
#[derive(Serialize)]
struct Nothing {}

impl<W: Write> Lines<W> {
    pub(crate) fn new(out: W) -> Lines<W> {
        Lines { out }
    }

    fn line(&mut self, kind: &str, event: impl Serialize) -> CallbackResult {
        let line = serde_json::to_string(&Line { v: VERSION, kind, event })?;
        Ok(writeln!(self.out, "{line}")?)
    }
}

impl<W: Write> Consumer for Lines<W> {
    fn wants(&self) -> Wants {
        Wants::CHEW | Wants::EVERYTHING.if_recorded()
    }

    fn on_start(&mut self, session: &Outcome) -> CallbackResult {
        self.line("start", &session.session)
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        self.line("row", firing)
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        self.line("entry", entry)
    }

    fn walked(&mut self) -> CallbackResult {
        self.line("walked", Nothing {})
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        self.line("drop", report)
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        self.line("fault", fault)
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        self.line("option", change)
    }

    fn on_process(&mut self, event: &ProcessEvent) -> CallbackResult {
        self.line("process", event)
    }

    fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
        self.line("outcome", outcome)?;
        Ok(self.out.flush()?)
    }
}
