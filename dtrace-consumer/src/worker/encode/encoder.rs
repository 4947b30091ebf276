//! Sends frames to the consumer.
//!
//! Frames are collected and written in chunks. Reports of drops are corrected on the way.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::ledger::{CpuDrops, Ledger};
use crate::stream::frame::{Frame, encode_firing};
use crate::stream::payload::FiringFrame;
use crate::worker::libdtrace::Sink;

/// The size of a chunk that is written before the round ends.
const PIECE: usize = 128 << 10;

/// How long the worker may be silent before it reports that it is alive.
const SILENCE: Duration = Duration::from_secs(10);

/// Writes frames to the channel, in chunks.
pub(crate) struct Encoder {
    channel: UnixStream,
    out: Vec<u8>,
    /// Whether a write has failed. Nothing is written after that.
    broken: bool,
    /// When something was last written.
    wrote: Instant,
    firings: u64,
    /// Processes whose end libdtrace has reported since the last look.
    processes_gone: Vec<i32>,
    given_up: bool,
    ledger: Ledger,
}

impl Encoder {
    pub(crate) fn new(channel: UnixStream) -> Encoder {
        Encoder {
            channel,
            out: Vec::new(),
            broken: false,
            wrote: Instant::now(),
            firings: 0,
            processes_gone: Vec::new(),
            given_up: false,
            ledger: Ledger::default(),
        }
    }

    /// Returns whether the consumer is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns whether the reason for the session's end has been sent.
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Returns the number of firings so far.
    pub(crate) fn firings(&self) -> u64 {
        self.firings
    }

    /// Returns the processes whose end libdtrace has reported since the last call. Nothing was sent about
    /// them.
    pub(crate) fn take_processes_gone(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.processes_gone)
    }

    pub(crate) fn send(&mut self, frame: &Frame<'_>) {
        self.put(|out| frame.encode(out));
    }

    #[inline]
    fn put(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.broken {
            encode(&mut self.out);
            if self.out.len() >= PIECE {
                self.flush();
            }
        }
    }

    /// Writes the collected frames. A slow consumer makes this wait; the kernel's buffers then fill, and
    /// drops are counted. A consumer that is gone is noted.
    pub(crate) fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if !self.broken && self.channel.write_all(&self.out).is_err() {
            self.broken = true;
        }
        self.wrote = Instant::now();
        self.out.clear();
    }

    /// Reports that the worker is alive, if nothing else was written for a while.
    pub(crate) fn break_silence(&mut self) {
        if self.wrote.elapsed() >= SILENCE {
            self.send(&Frame::Alive);
            self.flush();
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.send(&Frame::End);
        self.flush();
        self.channel.shutdown(Shutdown::Both)
    }

    /// Reports the drops that libdtrace has not reported, when no more can occur.
    pub(crate) fn settle_drops(&mut self, counters: &[CpuDrops]) {
        for report in self.ledger.settle(counters) {
            self.send(&Frame::Drop(report));
        }
    }
}

impl Sink for Encoder {
    fn take(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Firing(firing) => return self.firing(firing),
            Frame::Process(event) if event.gone => return self.processes_gone.push(event.pid),
            Frame::Drop(report) => {
                if let Some(report) = self.ledger.correct(report.clone()) {
                    self.send(&Frame::Drop(report));
                }
                return;
            }
            // The first failure is the cause of the later ones.
            Frame::Failure(_) if std::mem::replace(&mut self.given_up, true) => return,
            _ => {}
        }
        self.send(frame);
    }

    fn firing(&mut self, firing: &FiringFrame<'_>) {
        self.firings += 1;
        self.put(|out| encode_firing(firing, out));
    }
}
