//! How are the frames of a changed recording written?

use std::io::Write;

use crate::data::recording::{Compression, Edit};
use crate::error::Error;
use crate::stream::compressed::{BLOCK, write_frames};
use crate::stream::frame::Frame;

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
        let before = self.block.len();
        frame.encode(&mut self.block);
        if self.block.len() <= BLOCK {
            return Ok(());
        }
        // What fits is written without the frame that does not.
        let rest = self.block.split_off(before);
        self.flush()?;
        self.block = rest;
        Ok(())
    }

    /// Appends frames that are encoded already.
    pub(super) fn put_encoded(&mut self, frames: &[u8]) {
        self.block.extend_from_slice(frames);
    }

    /// Writes what was put.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let file = &mut self.file;
        let written = write_frames(self.compression, &self.block, |block| file.write_all(block))
            .and_then(|()| self.file.flush());
        self.block.clear();
        written.map_err(|cause| Error::System { attempt: "write the recording", cause })
    }
}
