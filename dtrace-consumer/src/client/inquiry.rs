//! Queries that libdtrace answers without tracing.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admitted::Admitted;
use super::command::place::where_to_hold;
use super::connection::Connection;
use super::job::{self, job, known};
use super::preflight::library_to_load;
use super::retry::{retry, widen};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::KernelType;
use crate::data::listing::ListedProbe;
use crate::data::session_info::ProgramInfo;
use crate::decode::consumer::Wants;
use crate::decode::delivery::Delivery;
use crate::decode::dispatcher::{Dispatcher, Step};
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::error::explain::explain;
use crate::stream::compile_flags::PREPROCESS;
use crate::stream::frame::Frame;
use crate::stream::job::{Process, Purpose};

/// Lists probes.
pub(crate) fn list(settings: Admitted<'_>, purpose: Purpose) -> Result<Vec<ListedProbe>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::Listed(probe) => ControlFlow::Break(probe),
        other => ControlFlow::Continue(other),
    })
}

/// Compiles the scripts.
pub(crate) fn check(settings: Admitted<'_>) -> Result<Vec<ProgramInfo>, Error> {
    collect(settings, Purpose::Check, |frame| match frame {
        Frame::Program(info) => ControlFlow::Break(info),
        other => ControlFlow::Continue(other),
    })
}

/// Looks up symbols.
pub(crate) fn look_up(
    settings: Admitted<'_>,
    purpose: Purpose,
) -> Result<Vec<Option<KernelSymbol>>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::Found(symbol) => ControlFlow::Break(symbol),
        other => ControlFlow::Continue(other),
    })
}

/// Looks up types.
pub(crate) fn look_up_types(
    settings: Admitted<'_>,
    purpose: Purpose,
) -> Result<Vec<Option<KernelType>>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::FoundType(found) => ControlFlow::Break(found),
        other => ControlFlow::Continue(other),
    })
}

/// Returns the answer as text, empty if there is none.
pub(crate) fn text(settings: Admitted<'_>, purpose: Purpose) -> Result<Vec<u8>, Error> {
    let texts = collect(settings, purpose, |frame| match frame {
        Frame::Report(text) => ControlFlow::Break(text.to_vec()),
        other => ControlFlow::Continue(other),
    })?;
    Ok(texts.concat())
}

/// Sends a query whose answer is a list. `item` extracts an item from a frame, or returns the frame.
fn collect<T>(
    settings: Admitted<'_>,
    purpose: Purpose,
    item: impl for<'a> Fn(Frame<'a>) -> ControlFlow<T, Frame<'a>>,
) -> Result<Vec<T>, Error> {
    job::check(&settings)?;
    let library = library_to_load(&settings.access)?;
    let mut job = job(&settings, library.as_ref(), purpose, Wants::NOTHING)?;
    let ending: Arc<Ending> = settings.access.under_check.clone().unwrap_or_default();
    loop {
        // They never run: they are killed when this is dropped.
        let created = &settings.created;
        let preprocessed = settings.compile_flags & PREPROCESS != 0;
        let target = where_to_hold(&settings.scripts, preprocessed);
        let held = created.start(&settings.options, Some(target), &ending)?;
        job.processes.retain(|process| matches!(process, Process::Grab(_)));
        let processes = held.iter().map(|held| Process::Created(held.target()));
        job.processes.splice(..0, processes);
        let mut dispatcher = Dispatcher::new((), &Delivery::default());
        let mut items = Vec::new();
        let mut connection = Connection::open(&settings, library.as_ref(), &job, &ending, Ok)?;
        loop {
            let (frame, position) = match connection.next() {
                Err(Error::WorkerDied { .. }) if widen(&mut job) => break,
                next => next?,
            };
            let step = match item(frame) {
                ControlFlow::Break(item) => {
                    items.push(item);
                    Step::Continue
                }
                ControlFlow::Continue(other) => dispatcher.take(other, position)?,
            };
            match step {
                Step::Continue | Step::Started | Step::CaughtUp => {}
                Step::End => return Ok(items),
                Step::Failed(failure) if retry(&mut job, &failure) => break,
                Step::Failed(failure) => {
                    return Err(explain(failure, known(&job, &[])));
                }
            }
        }
    }
}
