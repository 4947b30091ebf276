//! Replays recordings.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::frames::{self, Frames, Input, MEMORY_LIMIT};
use super::session::{Session, sealed};
use crate::data::outcome::{EndedBy, Outcome};
use crate::decode::consumer::Consumer;
use crate::decode::delivery::Delivery;
use crate::decode::dispatcher::{Dispatcher, Step};
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::error::failure::Failure;
use crate::stream::reader::FRAME_LIMIT;

/// A recording, created by [`replay`](crate::replay()) and [`replay_from`].
pub struct Recorded<'r> {
    source: Source<'r>,
    delivery: Delivery,
    frame_limit: Option<usize>,
}

/// The source of a recording.
enum Source<'r> {
    File(PathBuf),
    Reader(Box<dyn Read + Send + 'r>),
}

impl<'r> Recorded<'r> {
    fn new(source: Source<'r>) -> Recorded<'r> {
        let delivery =
            Delivery { memory_limit: MEMORY_LIMIT, is_ordered: false, ..Delivery::default() };
        Recorded { source, delivery, frame_limit: None }
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
    Session::of(Recorded::new(Source::File(path.into())))
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
    Session::of(Recorded::new(Source::Reader(Box::new(reader))))
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
    let result = match recorded.source {
        Source::File(path) => frames::open(&path).and_then(|file| {
            started();
            let frames = Frames::new(file, Input::File(path), limit)?;
            deliver(frames, &mut dispatcher, ending)
        }),
        Source::Reader(reader) => {
            started();
            Frames::new(reader, Input::Reader, limit)
                .and_then(|frames| deliver(frames, &mut dispatcher, ending))
        }
    };
    let result = match (result, ending.abortion(recorded.delivery.deadline)) {
        (Err(Error::Aborted), Some(error)) => Err(error),
        (result, _) => result,
    };
    dispatcher.finish(result)
}

/// Delivers the frames. The dispatcher limits what is kept of them.
fn deliver(
    frames: Frames<impl Read>,
    dispatcher: &mut Dispatcher<'_>,
    ending: &Ending,
) -> Result<EndedBy, Error> {
    let mut frames = frames.requiring_own_byte_order();
    while !ending.is_asked() {
        if let Some((payload, position)) = frames.next_firing() {
            let taken = dispatcher.take_firing(payload, position);
            taken.map_err(|error| frames.named(error))?;
            continue;
        }
        let Some((frame, position)) = frames.next(0)? else { return Ok(EndedBy::Recording) };
        match dispatcher.take(frame, position).map_err(|error| frames.named(error))? {
            Step::Continue | Step::Started | Step::CaughtUp | Step::End => {}
            Step::Failed(failure) => return Err(dispatcher.explain(failure)),
        }
    }
    match ending.first() {
        _ if ending.is_aborted() => Err(Error::Aborted),
        Some((_, Reason::Deadline)) => Ok(EndedBy::Deadline),
        _ => Ok(EndedBy::Stop),
    }
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
