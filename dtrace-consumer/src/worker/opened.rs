//! Opens libdtrace, which takes longer than the rest of most starts.
//!
//! Nothing here depends on the session, apart from who the consumer is.

use std::io;
use std::os::fd::AsFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::between::Answering;
use super::failed::Failed;
use super::libdtrace::{CallFailure, Compiling, Loaded};
use super::system;
use crate::stream::job::{Job, Purpose};
use crate::stream::payload::FailureKind;

/// An open libdtrace that belongs to no session yet.
pub(super) struct Opened {
    pub(super) compiling: Compiling,
    /// An address in its code.
    pub(super) inside: usize,
    /// The process ID of the consumer, which the macro variables describe, or why they describe the worker.
    pub(super) consumer: io::Result<i32>,
    /// The event descriptor that it will wait on, if there is one.
    waits_on: Option<i32>,
    has_types: bool,
}

impl Opened {
    /// Loads and opens libdtrace with the consumer at the other end of `channel` as the tracer.
    pub(super) fn open(job: &Job, channel: &impl AsFd) -> Result<Opened, Failed> {
        let failed = |failure: CallFailure| {
            let load = failure.call == "dlopen";
            Failed::of(if load { FailureKind::Load } else { FailureKind::Call }, failure)
        };
        let traces = !matches!(job.purpose, Purpose::Header { .. } | Purpose::Link { .. });
        if job.unknown.as_ref().is_some_and(|unknown| unknown.under_check) {
            let _ = without_core_files();
        }
        let before = system::wait_descriptors();
        let loaded = Loaded::load(&job.library, job.unknown.as_ref()).map_err(failed)?;
        let inside = loaded.code_address();
        let answering =
            system::peer_of(channel).and_then(|peer| Answering::for_consumer(inside, &peer));
        let (consumer, answering) = match answering {
            Ok(answering) => (Ok(answering.pid()), Some(answering)),
            Err(e) => (Err(e), None),
        };
        let compiling = {
            let _while_it_opens = answering;
            loaded.open(traces).map_err(failed)?
        };
        let waits_on = system::wait_descriptors().difference(&before).next().copied();
        Ok(Opened { compiling, inside, consumer, waits_on, has_types: false })
    }

    /// Returns the event descriptor that libdtrace will wait on, if there is one.
    pub(super) fn waits_on(&self) -> Option<i32> {
        self.waits_on
    }

    /// Reads the kernel's types, unless it has. This takes about as long as opening.
    pub(super) fn read_kernel_types(&mut self) {
        if !self.has_types {
            self.compiling.read_kernel_types();
            self.has_types = true;
        }
    }

    /// Gives libdtrace in a copy of the process that opened it what it shares with the original: the event that its
    /// wait ends with.
    ///
    /// # Errors
    /// There can be no other event descriptor.
    pub(super) fn separate(&self) -> io::Result<()> {
        self.waits_on.map_or(Ok(()), system::renew_event)
    }
}

/// Has this process leave no core file if it crashes. In a self-check the crash itself tells all that is asked, and nobody
/// looks for a file.
fn without_core_files() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)
}
