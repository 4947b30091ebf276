//! A recording, replayed to the same closures on any machine and without privileges.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::aggregation::Mode;
use crate::builder::closure_methods;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::error::{Error, Failure};
use crate::option;
use crate::outcome::Outcome;
use crate::stream::frame::FORMAT_VERSION;
use crate::stream::reader::{FRAME_LIMIT, FrameReader, ReadError};
use crate::stream::wire::Malformed;

/// How much of a recording is kept unless told otherwise, in bytes.
const MEMORY_LIMIT: usize = 1 << 30;

/// A recording that is to be replayed; made by [`replay`] or [`replay_from`].
#[must_use = "a replay does nothing until it is run"]
pub struct Replay<'f> {
    source: Source<'f>,
    closures: Closures<'f>,
    mode: Mode,
    frame_limit: usize,
    memory_limit: usize,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
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
    Replay::new(Source::File(path.into()))
}

/// Replays a recording from wherever it can be read: memory, standard input, a socket.
///
/// ```no_run
/// dtrace_consumer::replay_from(std::io::stdin())
///     .out(|output| {
///         print!("{output}");
///         Ok(())
///     })
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn replay_from<'f>(reader: impl Read + 'f) -> Replay<'f> {
    Replay::new(Source::Reader(Box::new(reader)))
}

enum Source<'f> {
    File(PathBuf),
    Reader(Box<dyn Read + 'f>),
}

impl<'f> Replay<'f> {
    fn new(source: Source<'f>) -> Replay<'f> {
        Replay {
            source,
            closures: Closures::default(),
            mode: Mode::default(),
            frame_limit: FRAME_LIMIT,
            memory_limit: MEMORY_LIMIT,
        }
    }

    closure_methods!('f);

    /// What the values of a walk stand for; see [`crate::Builder::mode`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Refuses frames of more than `bytes` as damaged; 64 MiB unless set. The memory that decoding
    /// takes is bounded by a small multiple of it and of [`memory_limit`](Replay::memory_limit).
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.frame_limit = bytes;
        self
    }

    /// Refuses a recording as damaged of which more than about `bytes` would have to be kept; 1 GiB unless
    /// set. What is kept are descriptions of probes, clauses, aggregations and symbols, events for the
    /// outcome, and entries of aggregations for `printa()`, for joined walks and for
    /// [`Mode::Delta`].
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Delivers the recording to the closures.
    ///
    /// # Errors
    /// [`Failure`], with what was delivered before: the file or reader cannot be read
    /// ([`Error::Recording`], [`Error::System`]), what it gives is no recording
    /// ([`Error::NotARecording`]) or one of a later version ([`Error::RecordingVersion`]), the recording
    /// is damaged or breaks off ([`Error::Stream`]), or a closure failed.
    pub fn run(self) -> Result<Outcome, Failure> {
        let mut dispatcher = Dispatcher::new(self.closures, LossPolicy::Count, self.mode)
            .with_memory_limit(self.memory_limit);
        let result = match self.source {
            Source::File(path) => {
                let unreadable = |cause| Error::Recording { path: path.clone(), cause };
                File::open(&path).map_err(unreadable).and_then(|file| {
                    let reader = FrameReader::new(file).with_limit(self.frame_limit);
                    let name = path.display().to_string();
                    deliver(reader, &name, unreadable, &mut dispatcher)
                })
            }
            Source::Reader(reader) => {
                let attempt = "read the recording";
                let unreadable = |cause| Error::System { attempt, cause };
                let reader = FrameReader::new(reader).with_limit(self.frame_limit);
                deliver(reader, "what was to be replayed", unreadable, &mut dispatcher)
            }
        };
        let outcome = Box::new(dispatcher.outcome);
        match result {
            Ok(()) => Ok(*outcome),
            Err(error) => Err(Failure { error, outcome }),
        }
    }
}

fn deliver(
    mut reader: FrameReader<impl Read>,
    name: &str,
    unreadable: impl Fn(io::Error) -> Error,
    dispatcher: &mut Dispatcher<'_>,
) -> Result<(), Error> {
    let explain = |error| match error {
        ReadError::Io(cause) => unreadable(cause),
        ReadError::Malformed { position, cause } => Error::Stream { position, cause },
        ReadError::Truncated { position } => breaks_off(position),
    };
    match reader.format_version().map_err(explain)? {
        Some(FORMAT_VERSION) => {}
        Some(found) => {
            let (name, supported) = (name.to_owned(), FORMAT_VERSION);
            return Err(Error::RecordingVersion { name, found, supported });
        }
        None => {
            let reason = match reader.is_empty() {
                true => "it is empty",
                false => "it begins like something else",
            };
            return Err(Error::NotARecording { name: name.to_owned(), reason });
        }
    }
    let mut complete = false;
    loop {
        let position = reader.position();
        match reader.next().map_err(explain)? {
            Some(frame) => {
                match dispatcher.take(frame, position)? {
                    Step::Continue | Step::Started | Step::CaughtUp => {}
                    // What follows was not seen by the worker: how the command ended.
                    Step::End => complete = true,
                    Step::Failed(failure) => {
                        return Err(Error::Libdtrace {
                            advice: option::advice(
                                &failure.attempt,
                                &failure.message,
                                failure.number,
                            ),
                            call: failure.attempt,
                            number: failure.number,
                            message: failure.message,
                        });
                    }
                }
            }
            None if complete => return Ok(()),
            None => return Err(breaks_off(position)),
        }
    }
}

fn breaks_off(position: u64) -> Error {
    let reason = "the recording breaks off here";
    Error::Stream { position, cause: Malformed { field: "frame", reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_off_is_no_complete_recording() {
        let failure = replay_from(&b"\x05"[..]).run().unwrap_err();
        assert!(matches!(failure.error, Error::Stream { position: 0, .. }), "{failure}");
        let failure = replay_from(&b""[..]).run().unwrap_err();
        assert!(matches!(failure.error, Error::NotARecording { .. }), "{failure}");
    }
}
