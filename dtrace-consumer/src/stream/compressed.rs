//! How is a compressed recording read, and written?
//!
//! A compressed recording is a file of zstd: one of its frames after another, each of which holds whole frames of
//! the stream. It is decoded block by block, so that memory stays bounded however much a block expands to.

use std::io::{self, ErrorKind, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::reader::frame_length;
use super::wire::Malformed;
use crate::data::recording::Compression;

/// The largest window that is accepted, in bytes: what every decoder of zstd must support, and more than the
/// recorder uses.
const WINDOW_LIMIT: u64 = 8 << 20;

/// The most bytes that are compressed together, unless a frame of the stream is larger.
pub(crate) const BLOCK: usize = 128 << 10;

const MAGIC: [u8; 4] = 0xfd2f_b528u32.to_le_bytes();

/// Reads a recording, compressed or not.
pub(crate) struct Decompressed<R> {
    source: R,
    state: State,
}

enum State {
    /// Nothing was read.
    Start,
    /// Not compressed. These bytes were read, up to the number.
    Plain([u8; 4], usize),
    /// Before a frame of zstd, with the bytes of its magic if they were read.
    Between(Option<[u8; 4]>),
    Within(Box<FrameDecoder>),
    Over,
}

impl<R: Read> Decompressed<R> {
    pub(crate) fn new(source: R) -> Decompressed<R> {
        Decompressed { source, state: State::Start }
    }

    /// Finds out whether the recording is compressed.
    fn start(&mut self) -> io::Result<State> {
        let mut magic = [0; 4];
        let n = fill(&mut self.source, &mut magic)?;
        let is_compressed = n == 4 && (magic == MAGIC || is_skippable(magic));
        Ok(if is_compressed { State::Between(Some(magic)) } else { State::Plain(magic, n) })
    }

    /// Begins the next frame of zstd.
    fn begin(&mut self, magic: Option<[u8; 4]>) -> io::Result<State> {
        let magic = match magic {
            Some(magic) => magic,
            None => {
                let mut magic = [0; 4];
                match fill(&mut self.source, &mut magic)? {
                    0 => return Ok(State::Over),
                    4 => magic,
                    _ => return Err(ErrorKind::UnexpectedEof.into()),
                }
            }
        };
        if is_skippable(magic) {
            let mut length = [0; 4];
            self.source.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
            return match skipped == length {
                true => Ok(State::Between(None)),
                false => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        if magic != MAGIC {
            return Err(damaged("is not a zstd frame"));
        }
        // Descriptor, window, dictionary, size.
        let mut header = [0; 1 + 1 + 4 + 8];
        self.source.read_exact(&mut header[..1])?;
        let length = header_length(header[0]);
        self.source.read_exact(&mut header[1..length])?;
        let header = &header[..length];
        if window(header) > WINDOW_LIMIT {
            return Err(damaged("needs a window of more than 8 MiB"));
        }
        let mut decoder = Box::new(FrameDecoder::new());
        decoder.reset(magic.chain(header)).map_err(failed)?;
        Ok(State::Within(decoder))
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let next = match &mut self.state {
                _ if buffer.is_empty() => return Ok(0),
                State::Over => return Ok(0),
                State::Plain(_, 0) => return self.source.read(buffer),
                State::Plain(bytes, n) => {
                    let taken = (&bytes[..*n]).read(buffer)?;
                    bytes.copy_within(taken.., 0);
                    *n -= taken;
                    return Ok(taken);
                }
                State::Start => self.start(),
                State::Between(magic) => {
                    let magic = magic.take();
                    self.begin(magic)
                }
                State::Within(decoder) if decoder.can_collect() > 0 => {
                    return decoder.read(buffer);
                }
                State::Within(decoder) if decoder.is_finished() => {
                    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
                        (Some(told), Some(found)) if told != found => {
                            Err(damaged("does not match its checksum"))
                        }
                        _ => Ok(State::Between(None)),
                    }
                }
                State::Within(decoder) => {
                    match decoder
                        .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    {
                        Ok(_) => continue,
                        Err(error) => Err(failed(error)),
                    }
                }
            };
            self.state = match next {
                Ok(state) => state,
                Err(error) => {
                    self.state = State::Over;
                    return Err(match error.kind() {
                        ErrorKind::UnexpectedEof => damaged("breaks off"),
                        _ => error,
                    });
                }
            };
        }
    }
}

/// Passes frames of the stream to `write`, compressed or as they are. What is compressed together are whole frames,
/// at most [`BLOCK`] bytes of them unless one is larger: if the file breaks off, only the last block is lost.
pub(crate) fn write_frames(
    compression: Compression,
    frames: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if compression == Compression::None {
        return write(frames);
    }
    let mut rest = frames;
    while !rest.is_empty() {
        let (block, others) = rest.split_at(block_length(rest));
        write(&compress(block))?;
        rest = others;
    }
    Ok(())
}

/// Returns the length of the frames at the beginning that are compressed together.
fn block_length(frames: &[u8]) -> usize {
    let mut length = 0;
    while let Some(next) = frame_length(&frames[length..]) {
        if length > 0 && length + next > BLOCK {
            return length;
        }
        length += next;
    }
    // A part of a frame is never passed on here. If it were, it would stay with the last whole one.
    frames.len()
}

/// Returns a frame of zstd that holds `bytes`.
fn compress(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match source.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(got) => n += got,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

fn is_skippable(magic: [u8; 4]) -> bool {
    u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50
}

/// Whether a frame is a single segment, which has no window.
fn is_single(descriptor: u8) -> bool {
    descriptor & 0x20 != 0
}

/// Returns the number of bytes of a frame's size.
fn size_length(descriptor: u8) -> usize {
    match descriptor >> 6 {
        0 => usize::from(is_single(descriptor)),
        n => 1 << n,
    }
}

/// Returns the number of bytes of a frame's header, the descriptor included.
fn header_length(descriptor: u8) -> usize {
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    1 + usize::from(!is_single(descriptor)) + dictionary + size_length(descriptor)
}

/// Returns the memory that a frame's window takes, in bytes.
fn window(header: &[u8]) -> u64 {
    let descriptor = header[0];
    if is_single(descriptor) {
        let mut size = [0; 8];
        let bytes = &header[header.len() - size_length(descriptor)..];
        size[..bytes.len()].copy_from_slice(bytes);
        return u64::from_le_bytes(size);
    }
    let (exponent, mantissa) = (header[1] >> 3, u64::from(header[1] & 7));
    let base = 1u64 << (10 + exponent);
    base + (base >> 3) * mantissa
}

fn damaged(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, Malformed::new("compressed block", reason))
}

/// Converts an error of the decoder.
fn failed(error: impl std::error::Error + 'static) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<io::Error>() {
            return io::Error::from(io.kind());
        }
        cause = one.source();
    }
    damaged("cannot be decompressed")
}

#[cfg(all(test, feature = "live"))]
mod tests;
