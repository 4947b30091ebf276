//! FreeBSD, macOS and illumos: `$pid` and the other macro variables are the consumer's numbers where libdtrace can be
//! answered for it. `pid` is what the kernel says, in the worker too.

use std::io;

use super::{MACROS, apart};
use crate::data::warning::Warning;
use crate::stream::job::Job;
use crate::worker::between::{self, Controllable};
use crate::worker::encode::encoder::Encoder;
use crate::worker::failed::{Failed, surroundings_failed};
use crate::worker::libdtrace::{CallFailure, Compiling, Tracing};
use crate::worker::opened::Opened;
use crate::worker::served::Served;

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
    /// The worker is elevated, and which processes libdtrace controls cannot be limited.
    pub(in crate::worker) fn of(
        _: &Job,
        opened: Opened,
        served: Option<Served>,
    ) -> Result<(Tracer, Compiling), Failed> {
        let Opened { compiling, inside, consumer, .. } = opened;
        if let Some(Served { uid, grab }) = served {
            let controllable = if grab { Controllable::OfUser(uid) } else { Controllable::None };
            between::limit_control(inside, controllable).map_err(|e| {
                surroundings_failed("limiting which processes libdtrace controls", &e)
            })?;
        }
        // Where this fails, processes meet what libproc does, as with dtrace(1).
        let _ = between::correct_control(inside);
        Ok((Tracer { not_consumer: consumer.err(), uncorrected: None }, compiling))
    }

    /// Returns a warning if the script sees the worker where dtrace(1) would show it the tracer.
    pub(in crate::worker) fn warning(&self, job: &Job) -> Option<Warning> {
        let uses = |name: &&&str| job.scripts.iter().any(|script| script.uses_macro(name));
        let Some(error) = &self.not_consumer else {
            let name = MACROS[..1].iter().find(uses)?;
            let why = "it is the number of this program";
            return Some(apart(name, "`pid` has another value in the worker", &why));
        };
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
    ///
    /// # Errors
    /// None.
    pub(in crate::worker) fn require_begun() -> Result<(), Failed> {
        Ok(())
    }
}
