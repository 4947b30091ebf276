//! Records a session to a file while it is delivered.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::descriptors::above_standard;
use super::patience::Patient;
use crate::error::Error;
use crate::stream::frame::Frame;

/// Copies everything that is read from a worker into a recording.
pub(super) struct Tee {
    pub(super) source: Patient,
    copy: Option<Copy>,
}

struct Copy {
    file: File,
    path: PathBuf,
    /// Number of bytes written.
    length: u64,
    failure: Option<io::Error>,
}

impl Tee {
    /// Creates a reader of `source`. `path` is the file to record to, if any.
    pub(super) fn new(source: Patient, path: Option<&Path>) -> Result<Tee, Error> {
        let copy = path.map(|path| {
            let path = path.to_owned();
            match File::create(&path).and_then(above_standard) {
                Ok(file) => Ok(Copy { file, path, length: 0, failure: None }),
                Err(cause) => Err(Error::Recording { path, cause }),
            }
        });
        Ok(Tee { source, copy: copy.transpose()? })
    }

    /// Adds the last frames to the recording, which no worker has sent. `position` is the end of the last
    /// whole frame that was read: a worker that died may have left a part of another.
    pub(super) fn add(&mut self, frames: &[Frame<'_>], position: u64) {
        if let Some(copy) = &mut self.copy {
            copy.add(frames, position);
        }
    }

    /// Fails if writing the recording failed.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let Some(copy) = self.copy.take_if(|copy| copy.failure.is_some()) else { return Ok(()) };
        match copy.failure {
            Some(cause) => Err(Error::Recording { path: copy.path, cause }),
            None => Ok(()),
        }
    }
}

impl Copy {
    fn add(&mut self, frames: &[Frame<'_>], position: u64) {
        // A recording that could not be written ends somewhere within a frame. Nothing may follow
        // there.
        if self.failure.is_some() || frames.is_empty() {
            return;
        }
        if self.truncate(position).is_ok() {
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| frame.encode(&mut bytes));
            self.write(&bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.file.write_all(bytes).err();
            self.length += bytes.len() as u64;
        }
    }

    /// Removes what was written after `position`. A pipe cannot do that.
    fn truncate(&mut self, position: u64) -> io::Result<()> {
        if self.length > position {
            self.file.set_len(position)?;
            self.length = self.file.seek(SeekFrom::Start(position))?;
        }
        Ok(())
    }
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write(&buffer[..n]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn nothing_is_added_to_a_recording_that_could_not_be_written() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"beginning").expect("a file");
        // The disk was full in the middle of 100 bytes, and the last whole frame ends within them.
        let mut copy = Copy {
            file: file.reopen().expect("a file"),
            path: file.path().to_owned(),
            length: 100,
            failure: Some(io::ErrorKind::StorageFull.into()),
        };
        copy.add(&[Frame::CaughtUp], 50);
        assert_eq!(std::fs::read(file.path()).expect("a file"), b"beginning");
    }
}
