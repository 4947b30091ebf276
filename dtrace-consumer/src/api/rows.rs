//! Closures that receive rows.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::session::{Session, Source};
use crate::data::misfit::MisfitPolicy;
use crate::data::outcome::Outcome;
use crate::data::pattern::ProbePattern;
use crate::data::warning::{Warning, WarningKind};
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::firing::Firing;
use crate::decode::guard::{Explained, call};
use crate::decode::notes::Notes;
use crate::error::Error;
use crate::error::callback::CallbackResult;
use crate::records::row_error::RowError;

/// A closure for rows, and what becomes of rows that it does not take.
#[derive(Debug)]
struct Receiver<T, F> {
    name: &'static str,
    closure: F,
    notes: Arc<Notes>,
    /// The statements or variables of which a row did not fit.
    misfits: HashSet<u64>,
    row: PhantomData<fn(T)>,
}

impl<T: DeserializeOwned, F: FnMut(T) -> CallbackResult> Receiver<T, F> {
    fn new(name: &'static str, closure: F, notes: Arc<Notes>) -> Receiver<T, F> {
        Receiver { name, closure, notes, misfits: HashSet::new(), row: PhantomData }
    }

    /// Passes a row to the closure. `from` is its statement or variable.
    fn take(&mut self, row: Result<T, RowError>, from: u64) -> CallbackResult {
        match row {
            Ok(row) => Ok(call(self.name, || (self.closure)(row)).map_err(Explained)?),
            Err(error) => match self.notes.policy() {
                MisfitPolicy::Fail => Err(Explained(Error::Row(error)).into()),
                MisfitPolicy::Skip => {
                    let warning = self.misfits.insert(from).then(|| {
                        let reason = format!("{error}; this row and others like it are skipped");
                        Warning::new(WarningKind::Misfit, self.name, reason)
                    });
                    self.notes.misfit(warning);
                    Ok(())
                }
            },
        }
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Rows<T, F> {
    receiver: Receiver<T, F>,
    /// Which probes to receive; `None` for all.
    only: Option<Only>,
}

#[derive(Debug)]
struct Only {
    description: String,
    /// `None` if the description is none.
    pattern: Option<ProbePattern>,
}

impl Only {
    /// Returns why no probe of the session can match.
    fn problem(&self, outcome: &Outcome) -> Option<&'static str> {
        let Some(pattern) = &self.pattern else {
            return Some("it has more than four parts, so it matches no probe");
        };
        let mut clauses = outcome.programs.iter().flat_map(|program| &program.clauses).peekable();
        let unmatched = clauses.peek().is_some()
            && !clauses.any(|clause| pattern.may_meet(clause.probe.parts()));
        unmatched.then_some("it matches no clause of the script, so its closure is never called")
    }
}

impl<T: DeserializeOwned, F: FnMut(T) -> CallbackResult> Consumer for Rows<T, F> {
    fn wants(&self) -> Wants {
        Wants::CHEW
    }

    fn on_start(&mut self, outcome: &Outcome) -> CallbackResult {
        if let Some(only) = &self.only
            && let Some(problem) = only.problem(outcome)
        {
            let subject = format!("{}({:?})", self.receiver.name, only.description);
            self.receiver.notes.warn(Warning::new(WarningKind::UnmatchedProbe, subject, problem));
        }
        Ok(())
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        if let Some(only) = &self.only {
            let parts = firing.probe().parts();
            if !only.pattern.as_ref().is_some_and(|pattern| pattern.matches(parts)) {
                return Ok(());
            }
        }
        if !firing.has_values() {
            return Ok(());
        }
        self.receiver.take(firing.row(), u64::from(firing.statement()))
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct WalkRows<T, F> {
    receiver: Receiver<T, F>,
    /// The name of the only aggregation to receive; `None` for all.
    only: Option<String>,
}

impl<T: DeserializeOwned, F: FnMut(T) -> CallbackResult> Consumer for WalkRows<T, F> {
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        if self.only.as_ref().is_some_and(|only| only != entry.name()) {
            return Ok(());
        }
        self.receiver.take(entry.row(), entry.variable())
    }
}

impl<S: Source, C: Consumer> Session<S, C> {
    /// Calls the closure with the values of each firing that has any, deserialized into a tuple or structure:
    /// the arguments of a `printf`, the expressions of `trace`. [`Firing::row`] describes how. A firing that
    /// does not fit ends the session with [`Error::Row`], unless [`misfits`](Session::misfits) says otherwise.
    ///
    /// ```no_run
    /// #[derive(Debug, serde::Deserialize)]
    /// struct Open {
    ///     pid: i32,
    ///     path: String,
    /// }
    ///
    /// let script = r#"syscall::openat:entry { printf("pid=%d path=%s", pid, copyinstr(arg1)); }"#;
    /// dtrace_consumer::run_synchronous(script, ["date"])
    ///     .rows(|open: Open| Ok(println!("{open:?}")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    ///
    /// If the clauses of a script record different values, use a closure for each (see
    /// [`rows_for`](Session::rows_for)), or an enumeration whose variants have the names in the formats:
    ///
    /// ```no_run
    /// #[derive(Debug, serde::Deserialize)]
    /// #[serde(untagged)]
    /// enum Call {
    ///     Open { path: String },
    ///     Read { descriptor: i32, bytes: u64 },
    /// }
    ///
    /// let script = r#"
    ///     syscall::openat:entry { printf("path=%s", copyinstr(arg1)); }
    ///     syscall::read:entry { printf("descriptor=%d bytes=%d", (int)arg0, arg2); }
    /// "#;
    /// dtrace_consumer::run_synchronous(script, ["date"])
    ///     .rows(|call: Call| Ok(println!("{call:?}")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn rows<T, F>(mut self, closure: F) -> Session<S, (C, Rows<T, F>)>
    where
        T: DeserializeOwned,
        F: FnMut(T) -> CallbackResult,
    {
        let receiver = Receiver::new("rows", closure, self.notes());
        self.consumer(Rows { receiver, only: None })
    }

    /// Calls the closure as [`rows`](Session::rows) does, but only with firings of probes that match a probe
    /// description; see [`Probe::matches`](crate::record::Probe::matches). A description that matches no
    /// clause of the script causes a [`Warning`](crate::session::Warning).
    ///
    /// ```no_run
    /// let script = r#"
    ///     syscall::openat:entry { trace(copyinstr(arg1)); }
    ///     syscall::read:entry, syscall::write:entry { printf("%d %d", (int)arg0, arg2); }
    /// "#;
    /// dtrace_consumer::run_synchronous(script, ["date"])
    ///     .rows_for("openat:entry", |path: String| Ok(println!("open {path}")))
    ///     .rows_for("read:entry", |(from, size): (i32, u64)| Ok(println!("read {size} from {from}")))
    ///     .rows_for("write:entry", |(to, size): (i32, u64)| Ok(println!("write {size} to {to}")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn rows_for<T, F>(
        mut self,
        probes: impl Into<String>,
        closure: F,
    ) -> Session<S, (C, Rows<T, F>)>
    where
        T: DeserializeOwned,
        F: FnMut(T) -> CallbackResult,
    {
        let receiver = Receiver::new("rows_for", closure, self.notes());
        let description = probes.into();
        let pattern = ProbePattern::parse(&description);
        self.consumer(Rows { receiver, only: Some(Only { description, pattern }) })
    }

    /// Calls the closure for each entry of each walk over the aggregations, with its keys, followed by its
    /// value if that is a number, deserialized into a tuple or structure. An entry that does not fit ends the
    /// session with [`Error::Row`], unless [`misfits`](Session::misfits) says otherwise.
    ///
    /// ```no_run
    /// let script = "syscall:::entry /pid == $target/ { @[probefunc] = count(); }";
    /// dtrace_consumer::run_synchronous(script, ["date"])
    ///     .walk_rows(|(call, times): (String, u64)| Ok(println!("{times:6} {call}")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn walk_rows<T, F>(mut self, closure: F) -> Session<S, (C, WalkRows<T, F>)>
    where
        T: DeserializeOwned,
        F: FnMut(T) -> CallbackResult,
    {
        let receiver = Receiver::new("walk_rows", closure, self.notes());
        self.consumer(WalkRows { receiver, only: None })
    }

    /// Calls the closure as [`walk_rows`](Session::walk_rows) does, but only with entries of the aggregation
    /// of that name, with or without its `@`. The anonymous one is `@`.
    ///
    /// ```no_run
    /// let script = "syscall:::entry /pid == $target/ { @[probefunc] = count(); @threads[tid] = count(); }";
    /// dtrace_consumer::run_synchronous(script, ["date"])
    ///     .walk_rows_for("@", |(call, times): (String, u64)| Ok(println!("{times:6} {call}")))
    ///     .walk_rows_for("@threads", |(tid, calls): (i32, u64)| Ok(println!("{tid}: {calls}")))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn walk_rows_for<T, F>(
        mut self,
        aggregation: impl AsRef<str>,
        closure: F,
    ) -> Session<S, (C, WalkRows<T, F>)>
    where
        T: DeserializeOwned,
        F: FnMut(T) -> CallbackResult,
    {
        let receiver = Receiver::new("walk_rows_for", closure, self.notes());
        let name = aggregation.as_ref();
        let name = match name.strip_prefix('@').unwrap_or(name) {
            "" => "_",
            name => name,
        };
        self.source.delivery().name_aggregation(name, "walk_rows_for");
        self.consumer(WalkRows { receiver, only: Some(name.to_owned()) })
    }

    /// Sets what happens to firings and entries that do not fit the type of a closure for rows. The default
    /// is [`MisfitPolicy::Fail`]. To handle each misfit yourself, call [`Firing::row`] in a
    /// [`chew`](Session::chew) closure: it returns the error.
    ///
    /// ```no_run
    /// use dtrace_consumer::value::MisfitPolicy;
    ///
    /// let outcome = dtrace_consumer::trace("syscall:::entry { trace((int)arg0); } tick-5s { trace(\"end\"); exit(0); }")
    ///     .misfits(MisfitPolicy::Skip)
    ///     .rows(|descriptor: i32| Ok(println!("{descriptor}")))
    ///     .run()?;
    /// println!("{} rows skipped: {:?}", outcome.misfits, outcome.warnings);
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn misfits(mut self, policy: MisfitPolicy) -> Self {
        self.notes().set_policy(policy);
        self
    }

    fn notes(&mut self) -> Arc<Notes> {
        Arc::clone(&self.source.delivery().notes)
    }
}
