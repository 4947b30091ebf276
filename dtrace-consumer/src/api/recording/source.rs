//! How are the frames of a recording read, other than for a replay?

use std::io::Read;

use crate::error::Error;
use crate::stream::compressed::Decompressed;
use crate::stream::frame::{FORMAT_VERSION, Frame};
use crate::stream::reader::{FrameReader, ReadError};
use crate::stream::wire::Malformed;

/// The frames of a recording.
pub(super) struct Frames<R> {
    reader: FrameReader<Decompressed<R>>,
    is_complete: bool,
}

impl<R: Read> Frames<R> {
    /// Reads the beginning. `name` is that of the recording, for errors.
    pub(super) fn of(source: R, name: &str) -> Result<Frames<R>, Error> {
        let mut reader = FrameReader::new(Decompressed::new(source));
        let name = name.to_owned();
        match reader.format_version().map_err(failed)? {
            Some(FORMAT_VERSION) => Ok(Frames { reader, is_complete: false }),
            Some(found) => Err(Error::RecordingVersion { name, found, supported: FORMAT_VERSION }),
            None if reader.is_empty() => Err(Error::NotARecording { name, reason: "it is empty" }),
            None => Err(Error::NotARecording {
                name,
                reason: "it does not begin with the header of one",
            }),
        }
    }

    /// Returns the next frame; `None` at the end of a whole recording.
    pub(super) fn next(&mut self) -> Result<Option<(Frame<'_>, u64)>, Error> {
        let position = self.reader.position();
        let is_complete = self.is_complete;
        match self.reader.next().map_err(failed)? {
            Some(frame) => {
                let ends = matches!(
                    frame,
                    Frame::End | Frame::CommandEnd(_) | Frame::SessionFailed(_) | Frame::Failure(_)
                );
                self.is_complete |= ends;
                Ok(Some((frame, position)))
            }
            None if is_complete => Ok(None),
            None => Err(failed(ReadError::Truncated { position })),
        }
    }
}

fn failed(error: ReadError) -> Error {
    match error {
        ReadError::Io(cause) => Error::System { attempt: "read the recording", cause },
        ReadError::Malformed { position, cause } => Error::Stream { position, cause },
        ReadError::Truncated { position } => {
            let reason = "the recording ends before its last frame";
            Error::Stream { position, cause: Malformed { field: "frame", reason } }
        }
    }
}
