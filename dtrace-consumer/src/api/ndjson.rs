//! Sessions as lines of JSON, for jq, pandas, polars and DuckDB.
//!
//! ```no_run
//! use std::io::{BufWriter, stdout};
//!
//! use dtrace_consumer::ndjson::Lines;
//! use dtrace_consumer::run_synchronous;
//!
//! let script = r#"syscall::openat:entry /pid == $target/ { printf("dir=%d path=%s", (int)arg0, copyinstr(arg1)); }"#;
//! let mut lines = Lines::new(BufWriter::new(stdout()));
//! let result = run_synchronous(script, ["ls"]).consumer(&mut lines).run();
//! if let Err(failure) = &result {
//!     lines.failure(failure)?;
//! }
//! result?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each line is an object. Its members `v` and `event` are the [version](VERSION) of the format and the kind of event.
//! `docs/ndjson.md` in the repository describes the other members, with a JSON Schema and examples for these programs.
//!
//! The members of `values` and `keys` are named, and not elements of a list, so programs that make tables of JSON find a
//! column for each. Numbers are exact; programs that read numbers as floating point round those beyond 2^53.

use std::io::{self, Write};

use serde::Serialize;

use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::{CommandStream, Outcome};
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::event::CommandLine;
use crate::decode::firing::{Firing, Output};
use crate::decode::json::{ErrorJson, EventJson};
use crate::error::{CallbackResult, Failure};

/// The version of the format: the member `v` of each line. Later versions of the crate may add members and events. The
/// number changes only if a member is removed or changes its meaning.
pub const VERSION: u32 = 1;

/// Writes a line for each event that the session delivers: firings, entries of walks, drops, faults, options, processes,
/// the start and the end, and the command's lines with [`command_lines`](crate::Session::command_lines).
///
/// An error of the writer ends the session. Nothing is written after it.
#[derive(Debug)]
pub struct Lines<W> {
    to: W,
    has_text: bool,
    /// The number of the walk that entries belong to.
    walk: u64,
    has_failed: bool,
}

#[derive(Serialize)]
struct Versioned<E> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    walk: Option<u64>,
    #[serde(flatten)]
    event: E,
}

type Borrowed<'a> =
    EventJson<'a, &'a Firing<'a>, &'a Output<'a>, &'a Aggregated<'a>, &'a CommandLine>;

impl<W: Write> Lines<W> {
    /// Writes to `to`. Each line takes several writes, so wrap files and pipes in a `BufWriter`. The writer is flushed
    /// after each walk and at the end. `stdout()` itself passes on each line at once.
    #[must_use]
    pub fn new(to: W) -> Lines<W> {
        Lines { to, has_text: false, walk: 0, has_failed: false }
    }

    /// Also writes the text that dtrace(1) would print for each record. Formatting costs time.
    /// The replay of a recording without text then fails with [`Error::NotRecorded`](crate::Error::NotRecorded).
    #[must_use]
    pub fn text(mut self) -> Lines<W> {
        self.has_text = true;
        self
    }

    /// Writes the error of a session, as the last line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        let message = failure.error.to_string();
        let error = ErrorJson { kind: failure.error.kind(), message: &message };
        self.line(EventJson::Error { error })?;
        self.to.flush()
    }

    /// Returns the writer.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.to
    }

    fn line(&mut self, event: Borrowed<'_>) -> io::Result<()> {
        // Half a line would become a part of the next one.
        if std::mem::replace(&mut self.has_failed, true) {
            return Ok(());
        }
        let is_of_walk = matches!(event, EventJson::Aggregated(_) | EventJson::Walked);
        let walk = is_of_walk.then_some(self.walk);
        serde_json::to_writer(&mut self.to, &Versioned { v: VERSION, walk, event })?;
        self.to.write_all(b"\n")?;
        self.has_failed = false;
        Ok(())
    }

    fn command_line(&mut self, stream: CommandStream, line: &[u8]) -> CallbackResult {
        let line = CommandLine::new(stream, line);
        Ok(self.line(EventJson::Line { line: &line })?)
    }
}

impl<W: Write> Consumer for Lines<W> {
    fn wants(&self) -> Wants {
        if self.has_text { Wants::CHEW | Wants::OUT } else { Wants::CHEW }
    }

    fn on_start(&mut self, outcome: &Outcome) -> CallbackResult {
        Ok(self.line(EventJson::Start { session: outcome.session.as_ref() })?)
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        Ok(self.line(EventJson::Firing(firing))?)
    }

    fn out(&mut self, output: &Output<'_>) -> CallbackResult {
        Ok(self.line(EventJson::Output(output))?)
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        Ok(self.line(EventJson::Aggregated(entry))?)
    }

    fn walked(&mut self) -> CallbackResult {
        self.line(EventJson::Walked)?;
        self.walk += 1;
        Ok(self.to.flush()?)
    }

    fn on_drop(&mut self, drop: &DropReport) -> CallbackResult {
        Ok(self.line(EventJson::Drop { drop })?)
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        Ok(self.line(EventJson::Fault { fault })?)
    }

    fn on_option(&mut self, option: &OptionChange) -> CallbackResult {
        Ok(self.line(EventJson::Option { option })?)
    }

    fn on_process(&mut self, process: &ProcessEvent) -> CallbackResult {
        Ok(self.line(EventJson::Process { process })?)
    }

    fn command_stdout(&mut self, line: &[u8]) -> CallbackResult {
        self.command_line(CommandStream::Stdout, line)
    }

    fn command_stderr(&mut self, line: &[u8]) -> CallbackResult {
        self.command_line(CommandStream::Stderr, line)
    }

    fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
        self.line(EventJson::Stop { outcome })?;
        Ok(self.to.flush()?)
    }
}
