//! Reads what a command writes to its standard output and standard error.
//!
//! A thread reads both pipes, so that neither stream waits for the other one's reader. It keeps
//! what the outcome needs, and sends what handlers receive line by line to the session's thread,
//! which it wakes. It waits for a slow handler, as a shell's pipe does.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::system;
use crate::client::descriptors::above_standard;
use crate::data::outcome::{CommandOutput, CommandStream};
use crate::decode::stop::Ending;
use crate::error::Error;

/// How long to wait, after the command's end, for processes that still hold its pipes.
const LINGERING: Duration = Duration::from_secs(1);

/// How many chunks may wait for the session's thread.
const CHUNKS: usize = 16;
const CHUNK: usize = 64 << 10;

/// The longest line that is delivered in one piece.
const LINE: usize = 1 << 20;

/// How much of each stream is kept by default.
const LIMIT: usize = 16 << 20;

/// What to do with the output of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Whether the outcome is to have it.
    pub(crate) keep: bool,
    /// Whether handlers are to receive it by line: standard output, standard error.
    pub(crate) lines: [bool; 2],
    /// How much of each stream to keep, in bytes.
    pub(crate) limit: usize,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { keep: false, lines: [false; 2], limit: LIMIT }
    }
}

impl Wanted {
    /// Makes the command write to pipes as far as its output is wanted.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let [stdout, stderr] = self.lines.map(|lines| lines || self.keep);
        if stdout {
            command.stdout(Stdio::piped());
        }
        if stderr {
            command.stderr(Stdio::piped());
        }
    }
}

/// The pipes to a command that has not been released.
#[derive(Default)]
pub(crate) struct Pipes([Option<OwnedFd>; 2]);

impl Pipes {
    /// Takes the command's pipes. One for its input is closed, because nobody can write to it.
    pub(crate) fn of(child: &mut Child) -> Pipes {
        drop(child.stdin.take());
        Pipes([child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)])
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// A piece of what the command has written.
pub(crate) struct Chunk {
    stream: CommandStream,
    bytes: Vec<u8>,
}

/// The output of a running command, as the session's thread receives it.
pub(crate) struct Output {
    chunks: Receiver<Chunk>,
    /// Has a byte for each chunk.
    woken: Option<UnixStream>,
    /// Closing it makes the thread read what is left in the pipes, and end.
    stop: Option<UnixStream>,
    thread: JoinHandle<CommandOutput>,
    lines: Lines,
    keeps: bool,
}

impl Output {
    /// Starts to read. What the user has piped without wanting it by line is kept.
    pub(crate) fn start(pipes: Pipes, wanted: Wanted) -> Result<Output, Error> {
        let attempt = "read the command's output";
        Output::try_start(pipes, wanted).map_err(|cause| Error::System { attempt, cause })
    }

    fn try_start(pipes: Pipes, wanted: Wanted) -> io::Result<Output> {
        let (sender, chunks) = crossbeam_channel::bounded(CHUNKS);
        let ((woken, wake), (stop, stopped)) = (pair()?, pair()?);
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let mut streams = Vec::new();
        let all = [CommandStream::Stdout, CommandStream::Stderr];
        for ((stream, pipe), lines) in all.into_iter().zip(pipes.0).zip(wanted.lines) {
            let Some(pipe) = pipe else { continue };
            // Only this process holds this end of the pipe.
            fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            let limit = (wanted.keep || !lines).then_some(wanted.limit);
            streams.push(Stream { stream, pipe: Some(pipe.into()), lines, limit });
        }
        let keeps = streams.iter().any(|stream| stream.limit.is_some());
        let pump = Pump { streams, sender, wake, stopped, kept: CommandOutput::default() };
        let thread = std::thread::Builder::new().name("dtrace-output".to_owned());
        let thread = thread.spawn(move || pump.run())?;
        let (woken, stop) = (Some(woken), Some(stop));
        Ok(Output { chunks, woken, stop, thread, lines: Lines::default(), keeps })
    }

    /// Returns the stream that has a byte for each chunk. Call it once.
    pub(crate) fn take_woken(&mut self) -> Option<UnixStream> {
        self.woken.take()
    }

    /// Returns the channel of the chunks, which ends when all pipes have.
    pub(crate) fn chunks(&self) -> Receiver<Chunk> {
        self.chunks.clone()
    }

    /// Calls `deliver` for each line that a chunk completes.
    pub(crate) fn feed<E>(
        &mut self,
        chunk: &Chunk,
        deliver: impl FnMut(CommandStream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.lines.feed(chunk, deliver)
    }

    /// Waits until all processes have closed the pipes, but not much longer than the command runs,
    /// and not at all after an abort. Calls `deliver` for the last lines until it fails or the
    /// session is aborted. Returns what was to be kept.
    pub(crate) fn finish<E>(
        mut self,
        ending: &Ending,
        mut deliver: impl FnMut(CommandStream, &[u8]) -> Result<(), E>,
    ) -> (Option<CommandOutput>, Result<(), E>) {
        let mut result = Ok(());
        let until = Instant::now() + LINGERING;
        let aborted = ending.aborted();
        loop {
            // A process that keeps writing leaves no time without a chunk.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || ending.is_aborted() {
                self.stop = None;
            }
            let chunk = match &self.stop {
                Some(_) => select! {
                    recv(self.chunks) -> chunk => chunk,
                    recv(aborted) -> _ => continue,
                    default(left) => continue,
                },
                None => self.chunks.recv(),
            };
            // It fails when the pipes have ended, or are read no more.
            let Ok(chunk) = chunk else { break };
            if result.is_ok() && !ending.is_aborted() {
                result = self.lines.feed(&chunk, &mut deliver);
            }
        }
        if result.is_ok() && !ending.is_aborted() {
            result = self.lines.finish(deliver);
        }
        (self.thread.join().ok().filter(|_| self.keeps), result)
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    Ok((above_standard(one)?, above_standard(other)?))
}

/// Splits output into lines.
#[derive(Default)]
struct Lines([Line; 2]);

/// The beginning of a line.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    /// Whether a piece of it has been delivered.
    has_pieces: bool,
}

impl Lines {
    fn feed<E>(
        &mut self,
        chunk: &Chunk,
        mut deliver: impl FnMut(CommandStream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = &mut self.0[chunk.stream as usize];
        for part in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            let rest = part.strip_suffix(b"\n");
            line.bytes.extend_from_slice(rest.unwrap_or(part));
            let is_whole = rest.is_some();
            // The newline may come alone, after the last piece.
            let is_delivered = is_whole && line.has_pieces && line.bytes.is_empty();
            if (is_whole && !is_delivered) || line.bytes.len() >= LINE {
                let delivered = deliver(chunk.stream, &line.bytes);
                *line = Line { bytes: Vec::new(), has_pieces: !is_whole };
                delivered?;
            } else if is_whole {
                line.has_pieces = false;
            }
        }
        Ok(())
    }

    /// Delivers the last line if it lacks a newline.
    fn finish<E>(
        &mut self,
        mut deliver: impl FnMut(CommandStream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (stream, line) in
            [CommandStream::Stdout, CommandStream::Stderr].into_iter().zip(&self.0)
        {
            if !line.bytes.is_empty() {
                deliver(stream, &line.bytes)?;
            }
        }
        Ok(())
    }
}

/// The thread that reads the pipes.
struct Pump {
    streams: Vec<Stream>,
    sender: Sender<Chunk>,
    wake: UnixStream,
    stopped: UnixStream,
    kept: CommandOutput,
}

struct Stream {
    stream: CommandStream,
    /// `None` when the other end is closed.
    pipe: Option<File>,
    lines: bool,
    /// How much to keep; `None` for nothing.
    limit: Option<usize>,
}

impl Pump {
    fn run(mut self) -> CommandOutput {
        while self.streams.iter().any(|stream| stream.pipe.is_some()) {
            let pipes = self.streams.iter().filter_map(|stream| stream.pipe.as_ref());
            let watched = std::iter::once(self.stopped.as_fd()).chain(pipes.map(AsFd::as_fd));
            let mut watched: Vec<_> =
                watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            match poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => break,
                Ok(_) => {}
            }
            if watched[0].any().unwrap_or(true) {
                self.read_the_rest();
                break;
            }
            for at in 0..self.streams.len() {
                self.read(at);
            }
        }
        self.kept
    }

    /// Reads once. Returns whether there was something.
    fn read(&mut self, at: usize) -> bool {
        let mut buffer = vec![0; CHUNK];
        let Some(pipe) = &mut self.streams[at].pipe else { return false };
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                buffer.truncate(length);
                self.take(at, buffer);
                true
            }
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => false,
            Ok(_) | Err(_) => {
                self.streams[at].pipe = None;
                false
            }
        }
    }

    /// Reads what is in the pipes, but not what a process that still holds them adds meanwhile.
    fn read_the_rest(&mut self) {
        for at in 0..self.streams.len() {
            let Some(pipe) = &self.streams[at].pipe else { continue };
            let capacity = system::pipe_capacity(pipe).unwrap_or(CHUNK);
            // A read may return less than a chunk only where the pipe holds less.
            for _ in 0..=capacity.div_ceil(CHUNK) {
                if !self.read(at) {
                    break;
                }
            }
            self.kept.cut_off |= self.streams[at].pipe.is_some();
        }
    }

    fn take(&mut self, at: usize, bytes: Vec<u8>) {
        let Stream { stream, lines, limit, .. } = self.streams[at];
        if let Some(limit) = limit {
            let (kept, omitted) = match stream {
                CommandStream::Stdout => (&mut self.kept.stdout, &mut self.kept.stdout_omitted),
                CommandStream::Stderr => (&mut self.kept.stderr, &mut self.kept.stderr_omitted),
            };
            let room = bytes.len().min(limit.saturating_sub(kept.len()));
            kept.extend_from_slice(&bytes[..room]);
            *omitted += (bytes.len() - room) as u64;
        }
        // It fails when the session receives no more.
        if lines && self.sender.send(Chunk { stream, bytes }).is_ok() {
            // It fails when the session has ended and nobody reads it.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_after_the_last_piece_of_a_line_is_no_line() {
        let chunk = |bytes: Vec<u8>| Chunk { stream: CommandStream::Stdout, bytes };
        let mut lines = Lines::default();
        let mut lengths = Vec::new();
        for bytes in [vec![b'a'; LINE], b"\n".to_vec(), b"\nb\n".to_vec()] {
            let deliver = |_, line: &[u8]| {
                lengths.push(line.len());
                Ok::<(), ()>(())
            };
            lines.feed(&chunk(bytes), deliver).expect("nothing fails");
        }
        assert_eq!(lengths, [LINE, 0, 1]);
    }
}
