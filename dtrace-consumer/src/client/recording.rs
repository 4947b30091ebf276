//! Records a session to a file while it is delivered.
//!
//! A recording consists of whole frames. They are written before handlers see them. So if the program is killed, the
//! recording has everything that a handler has seen.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::descriptors::above_standard;
use super::patience::Patient;
use super::settings::Settings;
use super::system::largest_file;
use crate::data::recording::{Compression, Origin};
use crate::error::Error;
use crate::stream::compressed::write_frames;
use crate::stream::frame::Frame;
use crate::stream::reader::{frame_length, whole_frames};

/// The memory that is kept for the part of a frame, in bytes. A larger frame takes more until it is written.
const PART: usize = 1 << 20;

/// Copies everything that is read from a worker into a recording.
pub(super) struct Tee {
    pub(super) source: Patient,
    copy: Option<Box<Copy>>,
}

struct Copy {
    file: File,
    path: PathBuf,
    compression: Compression,
    /// What the consumer says of the recording, until it is written.
    origin: Option<Origin>,
    /// The beginning of a frame whose end has not arrived.
    part: Vec<u8>,
    failure: Option<io::Error>,
}

impl Tee {
    /// Creates a reader of `source`, which records what it reads if the settings ask for it.
    pub(super) fn new(source: Patient, settings: &Settings) -> Result<Tee, Error> {
        let copy = settings.recording.clone().map(|path| {
            match File::create(&path).and_then(above_standard) {
                Ok(file) => Ok(Box::new(Copy {
                    file,
                    path,
                    compression: settings.compression,
                    origin: Some(origin(settings)),
                    part: Vec::new(),
                    failure: None,
                })),
                Err(cause) => Err(Error::Recording { path, cause }),
            }
        });
        Ok(Tee { source, copy: copy.transpose()? })
    }

    /// Adds the last frames to the recording, which no worker has sent. A part of a frame, which a worker that
    /// died may have left, is dropped.
    pub(super) fn add(&mut self, frames: &[Frame<'_>]) {
        if let Some(copy) = &mut self.copy {
            copy.add(frames);
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

/// Describes a recording that begins now.
fn origin(settings: &Settings) -> Origin {
    Origin {
        crate_version: env!("CARGO_PKG_VERSION").to_owned(),
        wall_clock: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        monotonic: monotonic(),
        command: settings.command_line.clone(),
    }
}

/// Returns the time of the clock that D's `timestamp` shows.
fn monotonic() -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map(Duration::from).unwrap_or_default()
}

impl Copy {
    fn add(&mut self, frames: &[Frame<'_>]) {
        self.part.clear();
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.write(&bytes);
    }

    /// Writes the whole frames that end in `bytes`.
    fn take(&mut self, bytes: &[u8]) {
        if self.failure.is_some() || bytes.is_empty() {
            return;
        }
        if self.part.is_empty() {
            let (whole, part) = bytes.split_at(whole_frames(bytes));
            self.write_stamped(whole);
            self.part.extend_from_slice(part);
            return;
        }
        self.part.extend_from_slice(bytes);
        let whole = whole_frames(&self.part);
        if whole > 0 {
            let mut frames = std::mem::take(&mut self.part);
            self.write_stamped(&frames[..whole]);
            frames.drain(..whole);
            frames.shrink_to(PART);
            self.part = frames;
        }
    }

    /// Writes whole frames after the time of their arrival. The first frame of all is the stream's own.
    fn write_stamped(&mut self, frames: &[u8]) {
        if frames.is_empty() {
            return;
        }
        let mut stamped = Vec::new();
        let mut rest = frames;
        if let Some(origin) = self.origin.take() {
            let (first, others) = frames.split_at(frame_length(frames).unwrap_or(frames.len()));
            stamped.extend_from_slice(first);
            Frame::Origin(origin).encode(&mut stamped);
            rest = others;
        }
        let now = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX);
        Frame::Arrived(now).encode(&mut stamped);
        stamped.extend_from_slice(rest);
        self.write(&stamped);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let written = write_frames(self.compression, bytes, |block| self.append(block));
        self.failure = written.err();
    }

    /// Fails where the file would become larger than this process may write: the system would end the process.
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        if let Some(limit) = largest_file()?
            && file.metadata()?.is_file()
        {
            let size = file.stream_position()?.saturating_add(bytes.len() as u64);
            if size > limit {
                let reason = format!(
                    "it would exceed the limit on the size of files (RLIMIT_FSIZE), {limit} bytes (raise it with \
                     `ulimit -f`)"
                );
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
            }
        }
        file.write_all(bytes)
    }
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.take(&buffer[..n]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::compressed::Decompressed;

    fn copy(file: &tempfile::NamedTempFile, compression: Compression) -> Copy {
        Copy {
            file: file.reopen().expect("a file"),
            path: file.path().to_owned(),
            compression,
            origin: None,
            part: Vec::new(),
            failure: None,
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn nothing_is_added_to_a_recording_that_could_not_be_written() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"beginning").expect("a file");
        let mut copy = copy(&file, Compression::None);
        copy.failure = Some(io::ErrorKind::StorageFull.into());
        copy.take(&[1, 0, 0, 0, 18]);
        copy.add(&[Frame::CaughtUp]);
        assert_eq!(std::fs::read(file.path()).expect("a file"), b"beginning");
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_large_frame_is_not_copied_with_every_piece_of_it() {
        let mut frame = Vec::new();
        Frame::Report(&vec![7; 4 << 20]).encode(&mut frame);
        Frame::End.encode(&mut frame);
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut copy = copy(&file, Compression::None);
        let mut capacities = std::collections::BTreeSet::new();
        for piece in frame.chunks(4096) {
            copy.take(piece);
            capacities.insert(copy.part.capacity());
        }
        // It grows by a factor, not with each of the thousand pieces.
        assert!(capacities.len() < 40, "{}", capacities.len());
        assert!(copy.part.capacity() <= PART);
        let written = std::fs::read(file.path()).expect("a file");
        assert!(written.ends_with(&frame));
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn only_whole_frames_are_written_however_they_arrive() {
        let mut frames = Vec::new();
        for frame in [Frame::CaughtUp, Frame::Report(&[7; 300]), Frame::Exit(1), Frame::Alive] {
            frame.encode(&mut frames);
        }
        for compression in [Compression::None, Compression::Zstd] {
            for size in [1, 3, 4, 5, 100, frames.len()] {
                let file = tempfile::NamedTempFile::new().expect("a file");
                let mut copy = copy(&file, compression);
                for piece in frames.chunks(size) {
                    copy.take(piece);
                    let read = std::fs::File::open(file.path()).expect("a file");
                    let mut written = Vec::new();
                    Decompressed::new(read).read_to_end(&mut written).expect("a file");
                    assert_eq!(whole_frames(&written), written.len());
                }
                // The last frame is whole, and what follows it is not.
                copy.take(&[9, 0, 0, 0, 18]);
                copy.add(&[Frame::End]);
                let mut written = Vec::new();
                let read = std::fs::File::open(file.path()).expect("a file");
                Decompressed::new(read).read_to_end(&mut written).expect("a file");
                assert!(written.ends_with(&[1, 0, 0, 0, 18]), "{written:?}");
                let at = |frame: &[u8]| written.windows(frame.len()).position(|w| w == frame);
                assert!(at(&frames[5..310]).is_some(), "{compression:?} in pieces of {size}");
            }
        }
    }
}
