//! A recording, replayed to the same closures on any machine and without privileges.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::aggregation::Mode;
use crate::builder::closure_methods;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::error::{Error, Failure};
use crate::option;
use crate::outcome::Outcome;
use crate::stream::frame::FORMAT_VERSION;
use crate::stream::reader::{FRAME_LIMIT, FrameReader, ReadError};
use crate::stream::wire::Malformed;

/// A recording that is to be replayed; made by [`replay`] or [`replay_from`].
#[must_use = "a replay does nothing until it is run"]
pub struct Replay<'f> {
    /// The file, or what stands for it in messages.
    path: PathBuf,
    source: Option<Box<dyn Read + 'f>>,
    closures: Closures<'f>,
    mode: Mode,
    frame_limit: usize,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("path", &self.path).finish_non_exhaustive()
    }
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
    Replay {
        path: path.into(),
        source: None,
        closures: Closures::default(),
        mode: Mode::default(),
        frame_limit: FRAME_LIMIT,
    }
}

/// Replays a recording from anywhere: standard input, a decompressor, another machine. `name` stands
/// for it in messages.
///
/// ```no_run
/// let outcome = dtrace_consumer::replay_from("standard input", std::io::stdin())
///     .out(|output| Ok(print!("{output}")))
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn replay_from<'f>(name: impl Into<PathBuf>, source: impl Read + 'f) -> Replay<'f> {
    Replay { source: Some(Box::new(source)), ..replay(name) }
}

impl<'f> Replay<'f> {
    closure_methods!('f);

    /// What the values of a walk stand for; see [`crate::Builder::mode`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Refuses frames of more than `bytes` as damaged; 64 MiB unless set. The memory that decoding
    /// takes is bounded by a small multiple of it, and of what the recording describes.
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.frame_limit = bytes;
        self
    }

    /// Delivers the recording to the closures.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the file cannot be read ([`Error::Recording`]), is
    /// none ([`Error::NotARecording`]) or one of a later version ([`Error::RecordingVersion`]), is
    /// damaged or breaks off ([`Error::Stream`]), or a closure failed.
    pub fn run(self) -> Result<Outcome, Failure> {
        let mut dispatcher = Dispatcher::new(self.closures, LossPolicy::Count, self.mode);
        let result = match self.source {
            Some(source) => deliver(&self.path, source, self.frame_limit, &mut dispatcher),
            None => File::open(&self.path)
                .map_err(|cause| Error::Recording { path: self.path.clone(), cause })
                .and_then(|file| deliver(&self.path, file, self.frame_limit, &mut dispatcher)),
        };
        let outcome = Box::new(dispatcher.outcome);
        match result {
            Ok(()) => Ok(*outcome),
            Err(error) => Err(Failure { error, outcome }),
        }
    }
}

fn deliver(
    path: &Path,
    source: impl Read,
    frame_limit: usize,
    dispatcher: &mut Dispatcher<'_>,
) -> Result<(), Error> {
    let mut reader = FrameReader::new(source).with_limit(frame_limit);
    match reader.format_version().map_err(|e| explain(e, path))? {
        Some(FORMAT_VERSION) => {}
        Some(found) => {
            let (path, supported) = (path.to_owned(), FORMAT_VERSION);
            return Err(Error::RecordingVersion { path, found, supported });
        }
        None => {
            let empty = reader.next().is_ok_and(|frame| frame.is_none()) && reader.position() == 0;
            let reason = if empty { "it is empty" } else { "it begins like some other file" };
            return Err(Error::NotARecording { path: path.to_owned(), reason });
        }
    }
    let mut ended = false;
    loop {
        let position = reader.position();
        match reader.next().map_err(|e| explain(e, path))? {
            Some(frame) => match dispatcher.take(frame, position)? {
                Step::Failed(failure) => {
                    return Err(Error::Libdtrace {
                        advice: option::advice(&failure.attempt, &failure.message, failure.number),
                        call: failure.attempt,
                        number: failure.number,
                        message: failure.message,
                    });
                }
                Step::End => ended = true,
                Step::Continue | Step::Started => {}
            },
            None if ended => return Ok(()),
            // A session that is cut short leaves whole frames, but not the last one.
            None => {
                let cause = Malformed::new("frame", "the recording breaks off before its end");
                return Err(Error::Stream { position, cause });
            }
        }
    }
}

fn explain(error: ReadError, path: &Path) -> Error {
    match error {
        ReadError::Io(cause) => Error::Recording { path: path.to_owned(), cause },
        ReadError::Malformed { position, cause } => Error::Stream { position, cause },
        ReadError::Truncated { position } => {
            let cause = Malformed::new("frame", "the recording breaks off within it");
            Error::Stream { position, cause }
        }
    }
}
