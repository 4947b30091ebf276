//! How are the frames of a changed recording written?

use std::io::{self, Write};

use crate::data::recording::{Compression, Edit};
use crate::error::Error;
use crate::stream::compressed::compress;
use crate::stream::frame::Frame;

/// The most bytes that are compressed together.
const BLOCK: usize = 128 << 10;

/// Writes a recording that tells how it was changed.
pub(super) struct Target<W> {
    file: W,
    compression: Compression,
    block: Vec<u8>,
    /// The change, until it is written: after the frames with which every recording begins.
    edit: Option<Edit>,
}

impl<W: Write> Target<W> {
    pub(super) fn new(file: W, compression: Compression, edit: Edit) -> Target<W> {
        Target { file, compression, block: Vec::new(), edit: Some(edit) }
    }

    pub(super) fn put(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        if !matches!(frame, Frame::Begin(_) | Frame::Origin(_) | Frame::Edited(_))
            && let Some(edit) = self.edit.take()
        {
            Frame::Edited(edit).encode(&mut self.block);
        }
        frame.encode(&mut self.block);
        if self.block.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    /// Appends frames that are encoded already.
    pub(super) fn put_encoded(&mut self, frames: &[u8]) {
        self.block.extend_from_slice(frames);
    }

    /// Writes what was put.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let written = self.write().and_then(|()| self.file.flush());
        self.block.clear();
        written.map_err(|cause| Error::System { attempt: "write the recording", cause })
    }

    fn write(&mut self) -> io::Result<()> {
        match self.compression {
            Compression::None => self.file.write_all(&self.block),
            Compression::Zstd if self.block.is_empty() => Ok(()),
            Compression::Zstd => self.file.write_all(&compress(&self.block)),
        }
    }
}
