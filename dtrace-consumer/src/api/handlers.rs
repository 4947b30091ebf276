//! Closures as handlers.
//!
//! Each closure becomes a [`Consumer`] with one method, and is added to the session's consumers.

use super::session::{Session, Source};
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::Outcome;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::firing::{Firing, Output, Record};
use crate::decode::joined::Joined;
use crate::error::callback::CallbackResult;

/// Defines each closure's consumer, and the method that sets it.
macro_rules! closures {
    ($($(#[$doc:meta])* $set:ident($argument:ident: $type:ty) => $Closure:ident, $wants:expr;)*) => {
        $(
            #[doc(hidden)]
            #[derive(Debug)]
            pub struct $Closure<F>(F);

            impl<F: FnMut($type) -> CallbackResult> Consumer for $Closure<F> {
                fn wants(&self) -> Wants {
                    $wants
                }

                fn $set(&mut self, $argument: $type) -> CallbackResult {
                    (self.0)($argument)
                }
            }
        )*

        impl<S: Source, C: Consumer> Session<S, C> {
            $(
                $(#[$doc])*
                pub fn $set<F>(self, closure: F) -> Session<S, (C, $Closure<F>)>
                where
                    F: FnMut($type) -> CallbackResult,
                {
                    self.consumer($Closure(closure))
                }
            )*
        }
    };
}

closures! {
    /// Calls the closure for each firing of each clause.
    chew(firing: &Firing<'_>) => Chew, Wants::CHEW;

    /// Calls the closure for each record of each firing, after [`chew`](Session::chew).
    ///
    /// ```no_run
    /// dtrace_consumer::trace("BEGIN { trace(execname); trace(pid); exit(0); }")
    ///     .chewrec(|record| {
    ///         println!("{:?}: {}", record.action(), record.value());
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    chewrec(record: &Record<'_>) => Chewrec, Wants::CHEWREC;

    /// Calls the closure with the text of each record, as dtrace(1) would print it. This has every
    /// record formatted, which costs more than the other closures.
    out(output: &Output<'_>) => Out, Wants::OUT;

    /// Calls the closure for each entry of each walk over the aggregations: once at the end, and regularly if
    /// [`walk_every`](Session::walk_every) is set. [`mode`](Session::mode) sets the meaning of values.
    walk(entry: &Aggregated<'_>) => Walk, Wants::NOTHING;

    /// Calls the closure once at the end with what dtrace(1) would print then: the aggregations that the
    /// script has not printed itself.
    report(text: &[u8]) => Report, Wants::REPORT;

    /// Calls the closure when tracing is on, with what is known about the session by then.
    on_start(outcome: &Outcome) => OnStart, Wants::NOTHING;

    /// Calls the closure when the script changes an option with `setopt()`.
    on_option(change: &OptionChange) => OnOption, Wants::NOTHING;

    /// Calls the closure when a traced process ends or can no longer be followed.
    on_process(event: &ProcessEvent) => OnProcess, Wants::NOTHING;

    /// Calls the closure for each report of dropped data.
    on_drop(report: &DropReport) => OnDrop, Wants::NOTHING;

    /// Calls the closure for each error of a clause at run time.
    on_fault(fault: &Fault) => OnFault, Wants::NOTHING;

    /// Calls the closure last, however the session ended, provided that [`on_start`](Session::on_start) was
    /// called.
    on_stop(outcome: &Outcome) => OnStop, Wants::NOTHING;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Walked<F>(F);

impl<F: FnMut() -> CallbackResult> Consumer for Walked<F> {
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }

    fn walked(&mut self) -> CallbackResult {
        (self.0)()
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct WalkJoined<F> {
    names: Vec<String>,
    closure: F,
}

impl<F: FnMut(&Joined<'_>) -> CallbackResult> Consumer for WalkJoined<F> {
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }

    fn walk_joined(&mut self, row: &Joined<'_>) -> CallbackResult {
        if row.names() == self.names { (self.closure)(row) } else { Ok(()) }
    }
}

impl<S: Source, C: Consumer> Session<S, C> {
    /// Adds a [`Consumer`], for handlers that share state. Pass it by `&mut` to use it after the session.
    pub fn consumer<D: Consumer>(self, consumer: D) -> Session<S, (C, D)> {
        self.map(|first| (first, consumer))
    }

    /// Calls the closure at the end of each walk for each tuple of keys, with the values of several
    /// aggregations (`dtrace_aggregate_walk_joined`). A name that the scripts do not have causes a
    /// [warning](crate::Outcome::warnings).
    ///
    /// ```no_run
    /// let script = "syscall::read:return /arg1 > 0/ { @calls[execname] = count(); @bytes[execname] = sum(arg1); }
    ///     tick-5s { exit(0); }";
    /// dtrace_consumer::trace(script)
    ///     .walk_joined(["calls", "bytes"], |row| {
    ///         let program: String = row.key(0)?;
    ///         println!("{program}: {:?}", row.values()); // in the order of the names
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn walk_joined<F, N>(
        self,
        names: impl IntoIterator<Item = N>,
        closure: F,
    ) -> Session<S, (C, WalkJoined<F>)>
    where
        F: FnMut(&Joined<'_>) -> CallbackResult,
        N: Into<String>,
    {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.join(names.clone()).consumer(WalkJoined { names, closure })
    }

    /// Calls the closure at the end of each walk.
    pub fn walked<F>(self, closure: F) -> Session<S, (C, Walked<F>)>
    where
        F: FnMut() -> CallbackResult,
    {
        self.consumer(Walked(closure))
    }
}
