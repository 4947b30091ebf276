//! A reader finds the same frames however the stream is split, and survives damaged ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::payload::FiringFrame;
use crate::stream::strategies::{self, Sample};
use crate::stream::wire::{Take, Wire};

/// Returns its bytes in pieces of the given sizes, repeatedly. Each piece is followed by an interruption.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: &'a [usize],
    reads: usize,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], sizes: &'a [usize]) -> Pieces<'a> {
        Pieces { bytes, sizes, reads: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "an empty read looks like the end of the source");
        self.reads += 1;
        if self.reads.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.reads / 2 % self.sizes.len()];
        let n = size.min(buffer.len()).min(self.bytes.len());
        let (head, rest) = self.bytes.split_at(n);
        buffer[..n].copy_from_slice(head);
        self.bytes = rest;
        Ok(n)
    }
}

fn encoded(samples: &[Sample]) -> Vec<Vec<u8>> {
    let encode = |sample: &Sample| {
        let mut frame = Vec::new();
        sample.frame().encode(&mut frame);
        frame
    };
    samples.iter().map(encode).collect()
}

/// A result of a reader, comparable.
#[derive(Debug, PartialEq)]
enum Read1 {
    Frame(u64, Vec<u8>),
    Truncated(u64),
    Malformed(u64, Malformed),
}

fn again(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// Reads a source up to its end or the first error, frame by frame.
fn read_all(source: impl Read, limit: usize) -> Vec<Read1> {
    read(source, limit, false)
}

/// Reads a source. `firings_first` selects [`FrameReader::next_firing`] for what it can return.
fn read(source: impl Read, limit: usize, firings_first: bool) -> Vec<Read1> {
    let mut reader = FrameReader::new(source).with_limit(limit);
    let mut results = Vec::new();
    loop {
        if firings_first && let Some((payload, position)) = reader.next_firing() {
            match FiringFrame::take(&mut Take::new(payload)) {
                Ok(firing) => {
                    let firing = again(&Frame::Firing(firing));
                    results.push(Read1::Frame(reader.position(), firing));
                    continue;
                }
                Err(cause) => {
                    results.push(Read1::Malformed(position, cause));
                    return results;
                }
            }
        }
        match reader.next() {
            Ok(None) => return results,
            Ok(Some(frame)) => {
                let frame = again(&frame);
                results.push(Read1::Frame(reader.position(), frame));
            }
            Err(ReadError::Io(e)) => panic!("{e}"),
            Err(ReadError::Truncated { position }) => {
                results.push(Read1::Truncated(position));
                return results;
            }
            Err(ReadError::Malformed { position, cause }) => {
                results.push(Read1::Malformed(position, cause));
                return results;
            }
        }
    }
}

/// Computes the same results from a slice.
fn expected(bytes: &[u8], limit: usize) -> Vec<Read1> {
    let mut results = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let position = at as u64;
        let Some((length, rest)) = bytes[at..].split_first_chunk() else {
            results.push(Read1::Truncated(position));
            break;
        };
        let length = u32::from_le_bytes(*length) as usize;
        let refused = if length == 0 { Some("zero") } else { None }
            .or((length > limit).then_some("exceeds the limit"));
        if let Some(reason) = refused {
            let cause = Malformed { field: "frame length", reason };
            results.push(Read1::Malformed(position, cause));
            break;
        }
        let Some(body) = rest.get(..length) else {
            results.push(Read1::Truncated(position));
            break;
        };
        at += 4 + length;
        if Frame::knows(body[0]) {
            match Frame::decode(body) {
                Ok(frame) => results.push(Read1::Frame(at as u64, again(&frame))),
                Err(cause) => {
                    results.push(Read1::Malformed(position, cause));
                    break;
                }
            }
        }
    }
    results
}

/// Damage to a stream in transit.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bit: u8 },
    CutOff { at: usize },
    CutOut { at: usize, length: usize },
    Exchange { a: usize, b: usize },
    Repeat { frame: usize },
    Length { frame: usize, length: u32 },
    Kind { frame: usize, kind: u8 },
    Insert { frame: usize, bytes: Vec<u8> },
}

fn damage() -> impl Strategy<Value = Damage> {
    let n = any::<usize>;
    let length = prop_oneof![
        Just(0),
        Just(1),
        Just((64 << 20) - 1),
        Just(64 << 20),
        Just(u32::MAX),
        0u32..300,
        any::<u32>(),
    ];
    prop_oneof![
        (n(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        n().prop_map(|at| Damage::CutOff { at }),
        (n(), 1usize..64).prop_map(|(at, length)| Damage::CutOut { at, length }),
        (n(), n()).prop_map(|(a, b)| Damage::Exchange { a, b }),
        n().prop_map(|frame| Damage::Repeat { frame }),
        (n(), length).prop_map(|(frame, length)| Damage::Length { frame, length }),
        (n(), any::<u8>()).prop_map(|(frame, kind)| Damage::Kind { frame, kind }),
        (n(), vec(any::<u8>(), 0..16)).prop_map(|(frame, bytes)| Damage::Insert { frame, bytes }),
    ]
}

fn damaged(mut frames: Vec<Vec<u8>>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        let n = frames.len();
        match damage {
            Damage::Exchange { a, b } => frames.swap(a % n, b % n),
            Damage::Repeat { frame } => frames.push(frames[frame % n].clone()),
            Damage::Length { frame, length } => {
                frames[frame % n][..4].copy_from_slice(&length.to_le_bytes());
            }
            Damage::Kind { frame, kind } => frames[frame % n][4] = *kind,
            Damage::Insert { frame, bytes } => frames[frame % n].extend(bytes),
            _ => {}
        }
    }
    let mut bytes = frames.concat();
    for damage in all {
        let n = bytes.len().max(1);
        match damage {
            Damage::Flip { at, bit } if !bytes.is_empty() => bytes[at % n] ^= 1 << bit,
            Damage::CutOff { at } => bytes.truncate(at % n),
            Damage::CutOut { at, length } => {
                let from = (at % n).min(bytes.len());
                let to = (from + length).min(bytes.len());
                bytes.drain(from..to);
            }
            _ => {}
        }
    }
    bytes
}

proptest! {
    #[test]
    fn a_stream_gives_the_same_frames_in_whatever_pieces_it_arrives(
        samples in vec(strategies::sample(), 0..12),
        sizes in vec(1usize..200, 1..6),
    ) {
        let frames = encoded(&samples);
        let bytes = frames.concat();
        let mut end = 0;
        let ends = frames.into_iter().map(|frame| {
            end += frame.len() as u64;
            Read1::Frame(end, frame)
        });
        let read = read_all(Pieces::new(&bytes, &sizes), FRAME_LIMIT);
        prop_assert_eq!(read, ends.collect::<Vec<_>>());
    }

    #[test]
    fn a_damaged_stream_gives_its_whole_frames_and_says_where_it_is_damaged(
        samples in vec(strategies::sample(), 1..10),
        damage in vec(damage(), 1..4),
        sizes in vec(1usize..200, 1..4),
        limit in prop_oneof![Just(FRAME_LIMIT), 1usize..400],
    ) {
        let bytes = damaged(encoded(&samples), &damage);
        let read = read_all(Pieces::new(&bytes, &sizes), limit);
        prop_assert_eq!(&read, &expected(&bytes, limit));
        prop_assert_eq!(self::read(Pieces::new(&bytes, &sizes), limit, true), read);
    }

    #[test]
    fn arbitrary_bytes_end_or_are_refused(bytes in vec(0u8..32, 0..300)) {
        let read = read_all(Pieces::new(&bytes, &[7]), FRAME_LIMIT);
        prop_assert_eq!(read, expected(&bytes, FRAME_LIMIT));
    }
}

#[test]
fn memory_follows_what_arrives_and_not_what_a_length_promises() {
    let promise = ((64u32 << 20) - 1).to_le_bytes();
    let bytes = [&promise[..], &[6; 1000]].concat();
    let mut reader = FrameReader::new(&bytes[..]);
    assert!(matches!(reader.next(), Err(ReadError::Truncated { position: 0 })));
    assert!(reader.buffer.capacity() <= 2 * CHUNK, "{} bytes", reader.buffer.capacity());
}

#[test]
fn a_large_frame_arrives_whole_between_small_ones() {
    let report = vec![b'x'; 3 * CHUNK + 17];
    let frames = [Frame::Exit(1), Frame::Report(&report), Frame::Exit(2)];
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    let mut reader = FrameReader::new(Pieces::new(&bytes, &[1000, 70_000, 1]));
    for frame in frames {
        assert_eq!(reader.next().unwrap(), Some(frame));
    }
    assert!(matches!(reader.next(), Ok(None)));
    assert!(reader.buffer.capacity() <= 2 * (report.len() + CHUNK));
}

#[test]
fn the_version_of_a_stream_is_read_before_its_frames() {
    let version = |bytes: &[u8]| FrameReader::new(Pieces::new(bytes, &[1])).format_version();
    let later = [&[60, 0, 0, 0, 1][..], b"DTrS", &[2, 1]].concat();
    assert!(matches!(version(&later), Ok(Some(0x102))));
    for n in 1..later.len() {
        let cut = version(&later[..n]);
        assert!(matches!(cut, Err(ReadError::Truncated { position: 0 })), "{n}: {cut:?}");
    }
    assert!(matches!(version(b""), Ok(None)));
    assert!(matches!(version(b"#!/usr/sbin/dtrace"), Ok(None)));
    assert!(matches!(version(b"#!/usr"), Ok(None)));
}
