//! The trait of types that receive a session's data.

use std::ops::BitOr;

use super::aggregated::Aggregated;
use super::firing::{Firing, Output, Record};
use super::joined::Joined;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::Outcome;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::error::callback::CallbackResult;

/// Receives the data of a session. Every method has a default that does nothing.
///
/// Implement it if handlers share state. Closures, such as that of [`chew`](crate::Session::chew), are the
/// short form. A session can have both: it calls its consumers and closures in the order in which they were
/// added. All calls come from one thread, one at a time.
///
/// If a method returns an error or panics, the session ends and returns that error.
///
/// ```no_run
/// use dtrace_consumer::{Aggregated, CallbackResult, Consumer, Firing, trace};
///
/// #[derive(Default)]
/// struct Busiest {
///     opened: u64,
///     reads: Vec<(String, i64)>,
/// }
///
/// impl Consumer for Busiest {
///     fn chew(&mut self, _: &Firing<'_>) -> CallbackResult {
///         self.opened += 1;
///         Ok(())
///     }
///
///     fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
///         self.reads.push((entry.key(0)?, entry.number()?));
///         Ok(())
///     }
/// }
///
/// let mut busiest = Busiest::default();
/// trace("syscall::openat:entry { trace(pid); } syscall::read:entry { @[execname] = count(); } tick-5s { exit(0); }")
///     .consumer(&mut busiest)
///     .run()?;
/// println!("{} files opened, reads: {:?}", busiest.opened, busiest.reads);
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Consumer {
    /// Returns the methods to call among those that have a cost. The default calls all, if the session has
    /// data for them. Omitting [`Wants::OUT`] saves the formatting of every record.
    ///
    /// A replay fails with [`Error::NotRecorded`](crate::Error::NotRecorded) if the recording lacks the data
    /// for a method that is named here, as in `Wants::CHEW | Wants::OUT`. The default names none.
    fn wants(&self) -> Wants {
        Wants::EVERYTHING
    }

    /// Called when tracing is on. `outcome` has what is known by then: library, kernel, matched probes,
    /// options.
    fn on_start(&mut self, outcome: &Outcome) -> CallbackResult {
        Ok(())
    }

    /// Called for each firing of a clause.
    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        Ok(())
    }

    /// Called for each record of a firing, after [`chew`](Consumer::chew) was called for the firing.
    fn chewrec(&mut self, record: &Record<'_>) -> CallbackResult {
        Ok(())
    }

    /// Called with the text that dtrace(1) would print for a record.
    fn out(&mut self, output: &Output<'_>) -> CallbackResult {
        Ok(())
    }

    /// Called for each entry of a walk over the aggregations.
    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        Ok(())
    }

    /// Called at the end of a walk for each tuple of keys, with the values of several aggregations. Requires
    /// [`join`](crate::Session::join).
    fn walk_joined(&mut self, row: &Joined<'_>) -> CallbackResult {
        Ok(())
    }

    /// Called when a walk over the aggregations is complete.
    fn walked(&mut self) -> CallbackResult {
        Ok(())
    }

    /// Called with what dtrace(1) would print at the end: the aggregations that the script has not printed.
    fn report(&mut self, text: &[u8]) -> CallbackResult {
        Ok(())
    }

    /// Called when data were dropped.
    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        Ok(())
    }

    /// Called when a clause failed at run time.
    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        Ok(())
    }

    /// Called when the script has changed an option with `setopt()`.
    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        Ok(())
    }

    /// Called when a traced process has ended or can no longer be followed.
    fn on_process(&mut self, event: &ProcessEvent) -> CallbackResult {
        Ok(())
    }

    /// Called for each line that the traced command writes to its standard output. The session reads it only with
    /// [`command_lines`](crate::Session::command_lines). `line` lacks the newline.
    fn command_stdout(&mut self, line: &[u8]) -> CallbackResult {
        Ok(())
    }

    /// Called for each line that the traced command writes to its standard error. The session reads it only with
    /// [`command_lines`](crate::Session::command_lines). `line` lacks the newline.
    fn command_stderr(&mut self, line: &[u8]) -> CallbackResult {
        Ok(())
    }

    /// Called when the session is over. This is the last call. It follows every
    /// [`on_start`](Consumer::on_start), however the session ended: also after another method failed or
    /// panicked, as `Drop` would run.
    fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
        Ok(())
    }
}

/// The methods of a [`Consumer`] whose calls have a cost.
///
/// A flag such as [`OUT`](Wants::OUT) is a demand: replaying a recording without these data is an error.
/// [`if_recorded`](Wants::if_recorded) and [`EVERYTHING`](Wants::EVERYTHING) take what there is.
///
/// ```
/// use dtrace_consumer::Wants;
///
/// // Firings, and their text if the recording has it.
/// let wants = Wants::CHEW | Wants::OUT.if_recorded();
/// assert!(wants.any(Wants::OUT) && !wants.any(Wants::REPORT));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants(u8);

impl Wants {
    /// None of them.
    pub const NOTHING: Wants = Wants(0);
    /// [`Consumer::chew`].
    pub const CHEW: Wants = Wants(0x11);
    /// [`Consumer::chewrec`].
    pub const CHEWREC: Wants = Wants(0x22);
    /// [`Consumer::out`], for which every record is formatted.
    pub const OUT: Wants = Wants(0x44);
    /// [`Consumer::report`], for which libdtrace formats the aggregations at the end.
    pub const REPORT: Wants = Wants(0x88);
    /// All of them, as far as a recording has data for them.
    pub const EVERYTHING: Wants = Wants(Wants::TAKEN);

    /// The bits of the methods to call. Those above them say which of these are demands.
    const TAKEN: u8 = 0x0f;

    /// Returns whether it contains one of `these`.
    #[must_use]
    pub fn any(self, these: Wants) -> bool {
        self.0 & these.0 & Wants::TAKEN != 0
    }

    /// Returns the same methods without the demand that a recording has data for them.
    #[must_use]
    pub fn if_recorded(self) -> Wants {
        Wants(self.0 & Wants::TAKEN)
    }

    /// Returns whether it demands the data of one of `these`.
    pub(crate) fn demands(self, these: Wants) -> bool {
        self.0 & these.0 & !Wants::TAKEN != 0
    }
}

impl BitOr for Wants {
    type Output = Wants;

    fn bitor(self, other: Wants) -> Wants {
        Wants(self.0 | other.0)
    }
}

/// Receives nothing.
impl Consumer for () {
    fn wants(&self) -> Wants {
        Wants::NOTHING
    }
}

/// Passes the methods that take an argument to a macro, each with its flag in [`Wants`].
macro_rules! each_method {
    ($write:ident) => {
        $write! {
            on_start(outcome: &Outcome);
            chew(firing: &Firing<'_>) if CHEW;
            chewrec(record: &Record<'_>) if CHEWREC;
            out(output: &Output<'_>) if OUT;
            walk(entry: &Aggregated<'_>);
            walk_joined(row: &Joined<'_>);
            report(text: &[u8]) if REPORT;
            on_drop(report: &DropReport);
            on_fault(fault: &Fault);
            on_option(change: &OptionChange);
            on_process(event: &ProcessEvent);
            command_stdout(line: &[u8]);
            command_stderr(line: &[u8]);
        }
    };
}

macro_rules! for_both {
    (@call $target:expr, $method:ident, $argument:ident) => { $target.$method($argument)? };
    (@call $target:expr, $method:ident, $argument:ident, $wanted:ident) => {
        if $target.wants().any(Wants::$wanted) {
            $target.$method($argument)?;
        }
    };
    ($($method:ident($argument:ident: $type:ty) $(if $wanted:ident)?;)*) => {$(
        fn $method(&mut self, $argument: $type) -> CallbackResult {
            for_both!(@call self.0, $method, $argument $(, $wanted)?);
            for_both!(@call self.1, $method, $argument $(, $wanted)?);
            Ok(())
        }
    )*};
}

/// Calls both consumers for what they want, the first one first.
impl<A: Consumer, B: Consumer> Consumer for (A, B) {
    fn wants(&self) -> Wants {
        self.0.wants() | self.1.wants()
    }

    fn walked(&mut self) -> CallbackResult {
        self.0.walked()?;
        self.1.walked()
    }

    fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
        let first = self.0.on_stop(outcome);
        first.and(self.1.on_stop(outcome))
    }

    each_method! { for_both }
}

macro_rules! for_target {
    ($($method:ident($argument:ident: $type:ty) $(if $wanted:ident)?;)*) => {
        fn wants(&self) -> Wants {
            (**self).wants()
        }

        fn walked(&mut self) -> CallbackResult {
            (**self).walked()
        }

        fn on_stop(&mut self, outcome: &Outcome) -> CallbackResult {
            (**self).on_stop(outcome)
        }

        $(
            fn $method(&mut self, $argument: $type) -> CallbackResult {
                (**self).$method($argument)
            }
        )*
    };
}

impl<C: Consumer + ?Sized> Consumer for &mut C {
    each_method! { for_target }
}

impl<C: Consumer + ?Sized> Consumer for Box<C> {
    each_method! { for_target }
}
