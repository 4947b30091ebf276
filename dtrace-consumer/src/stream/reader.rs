//! Splits a stream into frames.

#[cfg(all(test, feature = "live"))]
mod tests;

use std::io::{self, Read};

use super::frame::{self, Frame};
use super::wire::Malformed;

/// The largest frame that a reader accepts by default, in bytes.
///
/// The largest frame of a session is a firing. The kernel's buffers limit its records: `bufsize`, which users
/// keep at a few megabytes.
pub(crate) const FRAME_LIMIT: usize = 64 << 20;

const ENVELOPE: usize = 4;
const CHUNK: usize = 256 << 10;

/// Splits a byte stream into frames. Reads large chunks and lends the frames from its buffer.
pub(crate) struct FrameReader<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
    /// Number of bytes of the source before `buffer[start]`.
    position: u64,
}

/// Why a reader returned no further frame.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    /// The stream ended within a frame.
    Truncated {
        position: u64,
    },
    Malformed {
        position: u64,
        cause: Malformed,
    },
}

/// Returns the length of the frame at the beginning, with its envelope, if all of it is there.
pub(crate) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<ENVELOPE>().map(|n| u32::from_le_bytes(*n) as usize)?;
    Some(length.saturating_add(ENVELOPE)).filter(|n| *n <= bytes.len())
}

/// Returns the length of the whole frames at the beginning.
pub(crate) fn whole_frames(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = frame_length(&bytes[at..]) {
        at += length;
    }
    at
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(source: R) -> FrameReader<R> {
        FrameReader {
            source,
            // The system zeroes the pages on first use.
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            limit: FRAME_LIMIT,
            position: 0,
        }
    }

    /// Accepts frames of up to `bytes`.
    pub(crate) fn with_limit(mut self, bytes: usize) -> FrameReader<R> {
        self.limit = bytes;
        self
    }

    /// Returns the version of the stream's format without consuming a frame; `None` if the source does not
    /// begin like a stream.
    pub(crate) fn format_version(&mut self) -> Result<Option<u16>, ReadError> {
        let complete = self.fill(ENVELOPE + frame::PREAMBLE)?;
        let beginning = &self.buffer[self.start..self.end];
        let Some(body) = beginning.get(ENVELOPE..).filter(|body| !body.is_empty()) else {
            return match beginning {
                [] => Ok(None),
                _ => Err(ReadError::Truncated { position: self.position }),
            };
        };
        match frame::format_version(body) {
            None if complete || !frame::may_begin(body) => Ok(None),
            None => Err(ReadError::Truncated { position: self.position }),
            version => Ok(version),
        }
    }

    /// Returns the next frame that this version knows; `None` at a proper end of the source.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        loop {
            let Some(length) = self.fill(ENVELOPE)?.then(|| self.envelope()) else {
                return if self.start == self.end {
                    Ok(None)
                } else {
                    Err(ReadError::Truncated { position: self.position })
                };
            };
            let refused = match length {
                0 => Some("zero"),
                n if n > self.limit => Some("exceeds the limit"),
                _ => None,
            };
            if let Some(reason) = refused {
                let cause = Malformed::new("frame length", reason);
                return Err(ReadError::Malformed { position: self.position, cause });
            }
            if !self.fill(ENVELOPE + length)? {
                return Err(ReadError::Truncated { position: self.position });
            }
            let position = self.position;
            let body = self.start + ENVELOPE..self.start + ENVELOPE + length;
            self.start = body.end;
            self.position += (ENVELOPE + length) as u64;
            if Frame::knows(self.buffer[body.start]) {
                return Frame::decode(&self.buffer[body])
                    .map(Some)
                    .map_err(|cause| ReadError::Malformed { position, cause });
            }
        }
    }

    /// Returns the payload of the next frame, with the frame's position, if it is a firing that has been read already.
    ///
    /// Most frames are, and this costs less than [`next`](FrameReader::next), which takes all others.
    #[inline]
    pub(crate) fn next_firing(&mut self) -> Option<(&[u8], u64)> {
        let buffered = &self.buffer[self.start..self.end];
        let length = frame_length(buffered).filter(|n| *n - ENVELOPE <= self.limit)?;
        let [frame::FIRING, payload @ ..] = &buffered[ENVELOPE..length] else { return None };
        let position = self.position;
        self.start += length;
        self.position += length as u64;
        Some((payload, position))
    }

    /// Returns whether the buffer is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the number of bytes from the start of the stream to the next frame.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    fn envelope(&self) -> usize {
        self.buffer[self.start..]
            .first_chunk::<ENVELOPE>()
            .map_or(0, |n| u32::from_le_bytes(*n) as usize)
    }

    /// Reads until the buffer holds `n` bytes. Returns `false` if the source ends before.
    fn fill(&mut self, n: usize) -> Result<bool, ReadError> {
        while self.end - self.start < n {
            if self.start > 0 && self.buffer.len() - self.start < n.max(CHUNK / 4) {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.buffer.len() - self.start < n || self.buffer.len() == self.end {
                // Grow by what has arrived, never by what a length field promises.
                let target = (self.end + CHUNK).max(self.buffer.len());
                self.buffer.resize(target, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(got) => self.end += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let damage = e.get_ref().and_then(|cause| cause.downcast_ref::<Malformed>());
                    return Err(match damage {
                        Some(cause) => {
                            ReadError::Malformed { position: self.position, cause: cause.clone() }
                        }
                        None => ReadError::Io(e),
                    });
                }
            }
        }
        Ok(true)
    }
}
