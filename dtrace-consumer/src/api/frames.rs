//! How are the frames of a recording read, from its header to its end?

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::data::session_info::ByteOrder;
use crate::decode::kept::Kept;
use crate::error::Error;
use crate::stream::compressed::Decompressed;
use crate::stream::frame::{FORMAT_VERSION, Frame};
use crate::stream::reader::{FRAME_LIMIT, FrameReader, ReadError};
use crate::stream::wire::Malformed;

/// The default memory limit for what is kept of a recording, in bytes.
pub(super) const MEMORY_LIMIT: usize = 1 << 30;

/// What a recording is read from, for errors.
#[derive(Debug, Clone)]
pub(super) enum Input {
    File(PathBuf),
    Reader,
}

impl Input {
    fn name(&self) -> String {
        match self {
            Input::File(path) => path.display().to_string(),
            Input::Reader => "the input".to_owned(),
        }
    }

    /// Adds the file to an error that occurred in it and does not name it.
    fn named(&self, mut error: Error) -> Error {
        if let (
            Input::File(path),
            Error::Stream { name: name @ None, .. } | Error::NotRecorded { name: name @ None, .. },
        ) = (self, &mut error)
        {
            *name = Some(path.display().to_string());
        }
        error
    }

    fn unreadable(&self, cause: io::Error) -> Error {
        match self {
            Input::File(path) => Error::Recording { path: path.clone(), cause },
            Input::Reader => Error::System { attempt: "read the recording", cause },
        }
    }

    fn failed(&self, error: ReadError) -> Error {
        match error {
            ReadError::Io(cause) => self.unreadable(cause),
            ReadError::Malformed { position, cause } => self.named(Error::damage(position, cause)),
            ReadError::Truncated { position } => self.breaks_off(position),
        }
    }

    fn breaks_off(&self, position: u64) -> Error {
        let reason = "the recording ends before its last frame";
        self.named(Error::damage(position, Malformed { field: "frame", reason }))
    }
}

/// The frames of a recording.
pub(super) struct Frames<R> {
    reader: FrameReader<Decompressed<R>>,
    input: Input,
    kept: Option<Kept>,
    requires_own_byte_order: bool,
    is_complete: bool,
}

/// Opens the file of a recording.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|cause| Input::File(path.to_owned()).unreadable(cause))
}

impl Frames<File> {
    /// Opens a file as a recording that is to be examined or changed.
    pub(super) fn of_file(path: &Path) -> Result<Frames<File>, Error> {
        Frames::new(open(path)?, Input::File(path.to_owned()), FRAME_LIMIT)
            .map(|frames| frames.within(MEMORY_LIMIT))
    }
}

impl<R: Read> Frames<R> {
    /// Reads the beginning of a recording that is to be examined or changed.
    pub(super) fn of(source: R) -> Result<Frames<R>, Error> {
        Frames::new(source, Input::Reader, FRAME_LIMIT).map(|frames| frames.within(MEMORY_LIMIT))
    }

    /// Reads the beginning. Refuses data that do not begin like a recording that this version reads.
    pub(super) fn new(source: R, input: Input, frame_limit: usize) -> Result<Frames<R>, Error> {
        let mut reader = FrameReader::new(Decompressed::new(source)).with_limit(frame_limit);
        let version = reader.format_version().map_err(|error| input.failed(error))?;
        let refused = |reason| Err(Error::NotARecording { name: input.name(), reason });
        match version {
            Some(FORMAT_VERSION) => {}
            Some(found) => {
                let (name, supported) = (input.name(), FORMAT_VERSION);
                return Err(Error::RecordingVersion { name, found, supported });
            }
            None if reader.is_empty() => return refused("it is empty"),
            None => return refused("it does not begin with the header of one"),
        }
        Ok(Frames { reader, input, kept: None, requires_own_byte_order: false, is_complete: false })
    }

    /// Limits the memory that the reader of these frames may take, in bytes.
    pub(super) fn within(mut self, memory_limit: usize) -> Frames<R> {
        self.kept = Some(Kept::up_to(memory_limit));
        self
    }

    /// Refuses a recording whose data have the other byte order.
    pub(super) fn requiring_own_byte_order(mut self) -> Frames<R> {
        self.requires_own_byte_order = true;
        self
    }

    /// Adds the file to an error about a frame.
    pub(super) fn named(&self, error: Error) -> Error {
        self.input.named(error)
    }

    /// Returns the payload and the position of the next frame if it is a firing that has been read already.
    pub(super) fn next_firing(&mut self) -> Option<(&[u8], u64)> {
        self.reader.next_firing()
    }

    /// Returns the next frame and its position; `None` at the end of a whole recording. `held` is what the caller
    /// keeps besides descriptions, in bytes.
    pub(super) fn next(&mut self, held: usize) -> Result<Option<(Frame<'_>, u64)>, Error> {
        let position = self.reader.position();
        let is_complete = self.is_complete;
        match self.reader.next().map_err(|error| self.input.failed(error))? {
            Some(Frame::Begin(info))
                if self.requires_own_byte_order && info.byte_order != ByteOrder::OWN =>
            {
                let name = self.input.name();
                Err(Error::RecordingByteOrder { name, found: info.byte_order })
            }
            Some(frame) => {
                if let Some(kept) = &mut self.kept {
                    let refused = |cause| self.input.named(Error::damage(position, cause));
                    kept.note(&frame, held).map_err(refused)?;
                }
                // What follows comes from the consumer, not the worker: how the command ended.
                let ends =
                    matches!(frame, Frame::End | Frame::SessionFailed(_) | Frame::Failure(_));
                self.is_complete |= ends;
                Ok(Some((frame, position)))
            }
            None if is_complete => Ok(None),
            None => Err(self.input.breaks_off(position)),
        }
    }
}
