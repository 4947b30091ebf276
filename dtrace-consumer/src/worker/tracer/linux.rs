//! Linux: `$pid`, `$uid` and the other macro variables are the consumer's numbers, and `pid` is its number while
//! the worker runs. In a PID namespace, all numbers are those of the namespace.

use std::io;

use super::{MACROS, apart};
use crate::data::warning::{Warning, WarningKind};
use crate::stream::job::{Job, Purpose};
use crate::stream::payload::{FailureFrame, FailureKind};
use crate::worker::between::{self, Controllable, PidView};
use crate::worker::encode::encoder::Encoder;
use crate::worker::failed::{Failed, surroundings_failed};
use crate::worker::libdtrace::{CallFailure, Compiling, Tracing};
use crate::worker::opened::Opened;
use crate::worker::served::Served;

/// Which parts of making scripts see the consumer as the tracer have failed.
pub(in crate::worker) struct Tracer {
    /// Why the macro variables have the worker's numbers.
    not_consumer: Option<io::Error>,
    /// Why libdtrace's system calls cannot be changed.
    not_between: Option<io::Error>,
    /// Why places of probes cannot be corrected.
    pub(in crate::worker) uncorrected: Option<io::Error>,
    /// Why libdtrace's wait for its buffers is not watched.
    unwatched: Option<io::Error>,
}

impl Tracer {
    /// Makes an open libdtrace this session's.
    pub(in crate::worker) fn of(
        job: &Job,
        opened: Opened,
        served: Option<Served>,
    ) -> Result<(Tracer, Compiling), Failed> {
        let Opened { compiling, inside, consumer, .. } = opened;
        let (consumer, not_consumer) = match consumer {
            Ok(pid) => (Some(pid), None),
            Err(e) => (None, Some(e)),
        };
        if let Some(Served { uid, grab }) = served {
            let controllable = if grab { Controllable::OfUser(uid) } else { Controllable::None };
            between::limit_control(inside, controllable).map_err(|e| {
                surroundings_failed("limiting which processes libdtrace controls", &e)
            })?;
        }
        // Nothing else loads programs.
        let view = (job.purpose == Purpose::Trace).then(|| PidView::of_worker(consumer));
        let untranslated = |e: &io::Error| {
            surroundings_failed("translating the process IDs of this PID namespace", e)
        };
        let view = view.transpose().map_err(|e| untranslated(&e))?;
        let not_between = between::come_between(inside, view, served.is_some()).err();
        let unwatched = between::watch_buffers(inside).err();
        // Without it, libdtrace may hang, and processes that it is attached to may be killed by its breakpoints.
        between::watch_attachments(inside).map_err(|e| {
            surroundings_failed("watching which processes libdtrace attaches to", &e)
        })?;
        // No probe would ever fire.
        if let (Some(e), true) = (&not_between, view.is_some_and(|it| it.translates())) {
            return Err(untranslated(e));
        }
        let unknown = between::uprobe_type().err();
        let uncorrected = unknown.or_else(|| not_between.as_ref().map(copy_of));
        Ok((Tracer { not_consumer, not_between, uncorrected, unwatched }, compiling))
    }

    /// Returns a warning if the script sees the worker where dtrace(1) would show it the tracer.
    pub(in crate::worker) fn warning(&self, job: &Job) -> Option<Warning> {
        let uses = |name: &&&str| job.scripts.iter().any(|script| script.uses_macro(name));
        let (name, what, error) = match (&self.not_consumer, &self.not_between) {
            (Some(error), _) => {
                (MACROS.iter().find(uses)?, "it has the worker's value, not this program's", error)
            }
            (None, Some(error)) => {
                (MACROS[..1].iter().find(uses)?, "`pid` has another value in the worker", error)
            }
            (None, None) => return None,
        };
        Some(apart(name, what, error))
    }

    /// Returns a warning if the kernel refused a program that shows the worker as the consumer. This is known
    /// once tracing is on.
    pub(in crate::worker) fn warning_once_on(job: &Job) -> Option<Warning> {
        let uses = job.scripts.iter().any(|script| script.uses_macro("pid"));
        let error = io::Error::other("the kernel refused the BPF program that changes it");
        (between::refused_a_view() && uses)
            .then(|| apart("pid", "`pid` has another value in the worker", &error))
    }

    /// Makes it possible to let records wait, once tracing is on. Returns a warning if it is wanted and fails.
    pub(in crate::worker) fn prepare_to_let_wait(self, job: &Job) -> Option<Warning> {
        if job.max_delay.is_zero() {
            return None;
        }
        let prepared =
            self.unwatched.map_or_else(|| between::prepare_to_let_wait(job.max_delay), Err);
        let error = prepared.err()?;
        let message = format!(
            "records cannot wait in the kernel's buffers, so each wakes libdtrace, which costs the traced program several \
             microseconds: {error}"
        );
        Some(Warning::new(WarningKind::Costly, "records", message))
    }

    /// Starts tracing.
    pub(in crate::worker) fn go(tracing: &mut Tracing<Encoder>) -> Result<(), CallFailure> {
        // A script may have set the option too.
        if let Ok(Some(cpu)) = tracing.option("cpu") {
            between::fire_only_on(cpu);
        }
        tracing.go()
    }

    /// Returns a warning if tracing has ended and `END` has not fired.
    pub(in crate::worker) fn warning_at_end(job: &Job) -> Option<Warning> {
        let uses = job.scripts.iter().any(|script| script.mentions(&["END"]));
        (uses && between::lacks_its_end()).then(|| {
            let cause = match between::why_unfired() {
                Some(error) => format!(": {error}"),
                None => " (use another build of libdtrace)".to_owned(),
            };
            let message = format!(
                "the probe did not fire when tracing stopped, so what its clauses record is missing{cause}"
            );
            Warning::new(WarningKind::NeverFires, "dtrace:::END", message)
        })
    }

    /// Fails if tracing has not begun although libdtrace has started it, or if nothing tells.
    pub(in crate::worker) fn require_begun() -> Result<(), Failed> {
        match between::has_begun() {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => {
                let cause = "libdtrace has no BPF map `state`; unless BEGIN has fired, no other probe does (use a version \
                             of libdtrace that is known)";
                let error = io::Error::other(cause);
                return Err(surroundings_failed("finding out whether BEGIN has fired", &error));
            }
        }
        if let Some(error) = between::why_unfired() {
            return Err(surroundings_failed(
                "firing the probe BEGIN on the CPU that is traced",
                &error,
            ));
        }
        Err(Failed(FailureFrame {
            kind: FailureKind::NotBegun,
            attempt: "dtrace_go".to_owned(),
            number: 0,
            message: "the probe BEGIN did not fire".to_owned(),
            script: None,
            needed: Vec::new(),
        }))
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
