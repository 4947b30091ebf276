//! A recording, replayed to the same closures on any machine and without privileges.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::aggregation::Mode;
use crate::builder::closure_methods;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::error::{Error, Failure};
use crate::option;
use crate::outcome::Outcome;
use crate::stream::reader::{FrameReader, ReadError};

/// A recording that is to be replayed; made by [`replay`].
#[must_use = "a replay does nothing until it is run"]
pub struct Replay<'f> {
    path: PathBuf,
    closures: Closures<'f>,
    mode: Mode,
}

/// Replays a recording made with [`record`](crate::Builder::record).
///
/// ```no_run
/// let outcome = dtrace_consumer::replay("segments.dtrace")
///     .chew(|firing| {
///         println!("{}", firing.probe());
///         Ok(())
///     })
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn replay<'f>(path: impl Into<PathBuf>) -> Replay<'f> {
    Replay { path: path.into(), closures: Closures::default(), mode: Mode::default() }
}

impl<'f> Replay<'f> {
    closure_methods!('f);

    /// What the values of a walk stand for; see [`crate::Builder::mode`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Delivers the recording to the closures.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the file cannot be read ([`Error::Recording`]), is
    /// damaged or breaks off ([`Error::Stream`]), or a closure failed.
    pub fn run(self) -> Result<Outcome, Failure> {
        let mut dispatcher = Dispatcher::new(self.closures, LossPolicy::Count, self.mode);
        let result = deliver(&self.path, &mut dispatcher);
        let outcome = Box::new(dispatcher.outcome);
        match result {
            Ok(()) => Ok(*outcome),
            Err(error) => Err(Failure { error, outcome }),
        }
    }
}

fn deliver(path: &Path, dispatcher: &mut Dispatcher<'_>) -> Result<(), Error> {
    let unreadable = |cause| Error::Recording { path: path.to_owned(), cause };
    let mut reader = FrameReader::new(File::open(path).map_err(unreadable)?);
    loop {
        let position = reader.position();
        match reader.next() {
            Ok(Some(frame)) => {
                if let Step::Failed(failure) = dispatcher.take(frame, position)? {
                    return Err(Error::Libdtrace {
                        advice: option::advice(&failure.attempt, &failure.message, failure.number),
                        call: failure.attempt,
                        number: failure.number,
                        message: failure.message,
                    });
                }
            }
            Ok(None) => return Ok(()),
            Err(ReadError::Io(cause)) => return Err(unreadable(cause)),
            Err(ReadError::Malformed { position, cause }) => {
                return Err(Error::Stream { position, cause });
            }
            Err(ReadError::Truncated { position }) => {
                let cause = crate::stream::wire::Malformed {
                    field: "frame",
                    reason: "the recording breaks off within it",
                };
                return Err(Error::Stream { position, cause });
            }
        }
    }
}
