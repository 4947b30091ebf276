//! FreeBSD, macOS and illumos: libdtrace takes the macro variables from its own process.

use std::io;

use super::apart;
use crate::data::warning::Warning;
use crate::stream::job::Job;
use crate::worker::encode::encoder::Encoder;
use crate::worker::failed::{Failed, surroundings_failed};
use crate::worker::libdtrace::{CallFailure, Compiling, Tracing};
use crate::worker::opened::Opened;
use crate::worker::served::Served;

/// The macro variables that have another value in the worker than in the consumer that has started it.
const MACROS: [&str; 3] = ["pid", "ppid", "pgid"];

/// What scripts see in place of the consumer.
pub(in crate::worker) struct Tracer {
    /// Why the macro variables have the worker's numbers.
    not_consumer: Option<io::Error>,
    /// Why places of probes cannot be corrected. They need not be.
    pub(in crate::worker) uncorrected: Option<io::Error>,
}

impl Tracer {
    /// Makes an open libdtrace this session's.
    ///
    /// # Errors
    /// The worker is elevated: nothing limits which processes libdtrace controls.
    pub(in crate::worker) fn of(
        _: &Job,
        opened: Opened,
        served: Option<Served>,
    ) -> Result<(Tracer, Compiling), Failed> {
        if served.is_some() {
            let why = io::Error::other("this system has no means for it");
            return Err(surroundings_failed("limiting which processes libdtrace controls", &why));
        }
        let Opened { compiling, consumer, .. } = opened;
        Ok((Tracer { not_consumer: consumer.err(), uncorrected: None }, compiling))
    }

    /// Returns a warning if the script sees the worker where dtrace(1) would show it the tracer.
    pub(in crate::worker) fn warning(&self, job: &Job) -> Option<Warning> {
        let uses = |name: &&&str| job.scripts.iter().any(|script| script.uses_macro(name));
        let error = self.not_consumer.as_ref()?;
        let name = MACROS.iter().find(uses)?;
        Some(apart(name, "it has the worker's value, not this program's", error))
    }

    /// Returns `None`: the kernel runs no programs of libdtrace's.
    pub(in crate::worker) fn warning_once_on(_: &Job) -> Option<Warning> {
        None
    }

    /// Does nothing: records always wait in the kernel's buffers.
    pub(in crate::worker) fn prepare_to_let_wait(self, _: &Job) -> Option<Warning> {
        None
    }

    /// Starts tracing.
    pub(in crate::worker) fn go(tracing: &mut Tracing<Encoder>) -> Result<(), CallFailure> {
        tracing.go()
    }

    /// Returns `None`: the kernel fires `END` itself.
    pub(in crate::worker) fn warning_at_end(_: &Job) -> Option<Warning> {
        None
    }

    /// Does nothing: the kernel fires `BEGIN` itself.
    pub(in crate::worker) fn require_begun() -> Result<(), Failed> {
        Ok(())
    }
}
