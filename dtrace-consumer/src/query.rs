//! How are questions asked that are answered without tracing?

use std::ops::ControlFlow;

use crate::aggregation::Mode;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::error::Error;
use crate::kernel_type::KernelType;
use crate::listing::ListedProbe;
use crate::lookup::KernelSymbol;
use crate::session::{Settings, inquire};
use crate::stream::frame::Frame;
use crate::stream::job::Purpose;

/// Writes the methods of a query that say where libdtrace is and what becomes the worker.
macro_rules! query_methods {
    () => {
        /// Looks for libdtrace in this prefix first; see [`crate::locate`].
        pub fn prefix(mut self, prefix: impl Into<std::path::PathBuf>) -> Self {
            self.settings.prefix = Some(prefix.into());
            self
        }

        /// Names the program that is started as worker; see [`crate::Builder::worker`].
        pub fn worker(mut self, program: impl Into<std::path::PathBuf>) -> Self {
            self.settings.worker = Some(program.into());
            self
        }

        /// How the worker gets its privilege; see [`crate::Builder::elevation`].
        pub fn elevation(mut self, elevation: $crate::Elevation) -> Self {
            self.settings.elevation = elevation;
            self
        }
    };
}
pub(crate) use query_methods;

/// Lists probes.
pub(crate) fn list(settings: &Settings, purpose: Purpose) -> Result<Vec<ListedProbe>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::Listed(probe) => ControlFlow::Break(probe),
        other => ControlFlow::Continue(other),
    })
}

/// Looks up symbols.
pub(crate) fn look_up(
    settings: &Settings,
    purpose: Purpose,
) -> Result<Vec<Option<KernelSymbol>>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::Found(symbol) => ControlFlow::Break(symbol),
        other => ControlFlow::Continue(other),
    })
}

/// The text that is the answer, if there is one.
pub(crate) fn text(settings: &Settings, purpose: Purpose) -> Result<Vec<u8>, Error> {
    let texts = collect(settings, purpose, |frame| match frame {
        Frame::Report(text) => ControlFlow::Break(text.to_vec()),
        other => ControlFlow::Continue(other),
    })?;
    Ok(texts.concat())
}

/// Looks up types.
pub(crate) fn look_up_types(
    settings: &Settings,
    purpose: Purpose,
) -> Result<Vec<Option<KernelType>>, Error> {
    collect(settings, purpose, |frame| match frame {
        Frame::FoundType(found) => ControlFlow::Break(found),
        other => ControlFlow::Continue(other),
    })
}

/// Asks something whose answer is a list; `item` takes one out of a frame, or gives the frame back.
fn collect<T>(
    settings: &Settings,
    purpose: Purpose,
    item: impl for<'a> Fn(Frame<'a>) -> ControlFlow<T, Frame<'a>>,
) -> Result<Vec<T>, Error> {
    let mut dispatcher = Dispatcher::new(Closures::default(), LossPolicy::Count, Mode::Cumulative);
    let mut items = Vec::new();
    inquire(settings, purpose, |frame, position| match item(frame) {
        ControlFlow::Break(item) => {
            items.push(item);
            Ok(Step::Continue)
        }
        ControlFlow::Continue(other) => dispatcher.take(other, position),
    })?;
    Ok(items)
}
