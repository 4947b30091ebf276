//! Replays recordings.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::session::{Session, sealed};
use crate::data::outcome::{EndedBy, Outcome};
use crate::data::session_info::ByteOrder;
use crate::decode::consumer::Consumer;
use crate::decode::delivery::Delivery;
use crate::decode::dispatcher::{Dispatcher, Step};
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::compressed::Decompressed;
use crate::stream::frame::{FORMAT_VERSION, Frame};
use crate::stream::reader::{FRAME_LIMIT, FrameReader, ReadError};
use crate::stream::wire::Malformed;

/// The default memory limit for what is kept of a recording, in bytes.
const MEMORY_LIMIT: usize = 1 << 30;

/// A recording, created by [`replay`](crate::replay()) and [`replay_from`].
pub struct Recorded<'r> {
    input: Input<'r>,
    delivery: Delivery,
    frame_limit: Option<usize>,
}

/// The source of a recording.
enum Input<'r> {
    File(PathBuf),
    Reader(Box<dyn Read + Send + 'r>),
}

impl<'r> Recorded<'r> {
    fn new(input: Input<'r>) -> Recorded<'r> {
        let delivery =
            Delivery { memory_limit: MEMORY_LIMIT, is_ordered: false, ..Delivery::default() };
        Recorded { input, delivery, frame_limit: None }
    }
}

impl sealed::Source for Recorded<'_> {
    fn has_text(&mut self) -> bool {
        true
    }

    fn delivery(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    fn frame_limit(&mut self) -> &mut Option<usize> {
        &mut self.frame_limit
    }

    fn run<'c>(
        self,
        consumer: impl Consumer + 'c,
        ending: &Arc<Ending>,
        started: impl FnOnce(),
    ) -> Result<Outcome, Failure> {
        deliver_all(self, consumer, ending, started)
    }
}

impl fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// Replays a recording made with [`record`](Session::record).
///
/// The replay fails with [`Error::NotRecorded`] if the recording lacks what a handler needs. It fails with the
/// error of the recorded session if that failed, unless a handler was the cause.
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
pub fn replay<'r>(path: impl Into<PathBuf>) -> Session<Recorded<'r>> {
    Session::of(Recorded::new(Input::File(path.into())))
}

/// Replays a recording from any reader: memory, standard input, a socket.
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
pub fn replay_from<'r>(reader: impl Read + Send + 'r) -> Session<Recorded<'r>> {
    Session::of(Recorded::new(Input::Reader(Box::new(reader))))
}

/// Delivers a recording. Calls `started` before reading its first frame.
fn deliver_all<'c>(
    recorded: Recorded<'_>,
    consumer: impl Consumer + 'c,
    ending: &Ending,
    started: impl FnOnce(),
) -> Result<Outcome, Failure> {
    let mut dispatcher = Dispatcher::new(consumer, &recorded.delivery);
    let limit = recorded.frame_limit.unwrap_or(FRAME_LIMIT);
    let result = match recorded.input {
        Input::File(path) => {
            let unreadable = |cause| Error::Recording { path: path.clone(), cause };
            File::open(&path).map_err(unreadable).and_then(|file| {
                started();
                let reader = FrameReader::new(Decompressed::new(file)).with_limit(limit);
                let name = path.display().to_string();
                deliver(reader, &name, unreadable, &mut dispatcher, ending)
            })
        }
        Input::Reader(reader) => {
            started();
            let attempt = "read the recording";
            let unreadable = |cause| Error::System { attempt, cause };
            let reader = FrameReader::new(Decompressed::new(reader)).with_limit(limit);
            deliver(reader, "the input", unreadable, &mut dispatcher, ending)
        }
    };
    let result = match (result, ending.abortion(recorded.delivery.deadline)) {
        (Err(Error::Aborted), Some(error)) => Err(error),
        (result, _) => result,
    };
    dispatcher.finish(result)
}

fn deliver(
    mut reader: FrameReader<impl Read>,
    name: &str,
    unreadable: impl Fn(io::Error) -> Error,
    dispatcher: &mut Dispatcher<'_>,
    ending: &Ending,
) -> Result<EndedBy, Error> {
    let failed = |error| match error {
        ReadError::Io(cause) => unreadable(cause),
        ReadError::Malformed { position, cause } => Error::Stream { position, cause },
        ReadError::Truncated { position } => breaks_off(position),
    };
    check_format(&mut reader, name, failed)?;
    let mut complete = false;
    while !ending.is_asked() {
        let position = reader.position();
        match reader.next().map_err(failed)? {
            Some(Frame::Begin(info)) if info.byte_order != ByteOrder::OWN => {
                let name = name.to_owned();
                return Err(Error::RecordingByteOrder { name, found: info.byte_order });
            }
            Some(frame) => match dispatcher.take(frame, position)? {
                Step::Continue | Step::Started | Step::CaughtUp => {}
                // What follows comes from the consumer, not the worker: how the command ended.
                Step::End => complete = true,
                Step::Failed(failure) => return Err(dispatcher.explain(failure)),
            },
            None if complete => return Ok(EndedBy::Recording),
            None => return Err(breaks_off(position)),
        }
    }
    match ending.first() {
        _ if ending.is_aborted() => Err(Error::Aborted),
        Some((_, Reason::Deadline)) => Ok(EndedBy::Deadline),
        _ => Ok(EndedBy::Stop),
    }
}

/// Refuses data that do not begin like a recording that this version reads.
fn check_format(
    reader: &mut FrameReader<impl Read>,
    name: &str,
    failed: impl Fn(ReadError) -> Error,
) -> Result<(), Error> {
    let name = name.to_owned();
    match reader.format_version().map_err(failed)? {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) => Err(Error::RecordingVersion { name, found, supported: FORMAT_VERSION }),
        None if reader.is_empty() => Err(Error::NotARecording { name, reason: "it is empty" }),
        None => {
            Err(Error::NotARecording { name, reason: "it does not begin with the header of one" })
        }
    }
}

fn breaks_off(position: u64) -> Error {
    let reason = "the recording ends before its last frame";
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
