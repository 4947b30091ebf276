//! How are the bytes moved, and the time measured from the first write to the last read?

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::channel::{Channel, Receiver, Sender, set_blocking};
use super::{Config, Error};

/// One finished transfer.
pub(super) struct Transfer {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// From just before the first write until the last byte was read.
    pub(super) time: Duration,
}

impl Transfer {
    /// Checks that the configured number of bytes was sent and received.
    pub(super) fn check(&self, config: &Config) -> Result<(), Error> {
        let (expected, sent, received) = (config.total_size, self.sent, self.received);
        if sent == expected && received == expected {
            return Ok(());
        }
        Err(Error::Size { expected, sent: Some(sent), received })
    }
}

/// Transfers in one thread, which writes what the channel accepts and reads what is available. The calls
/// must not block, because no other thread could empty or fill the kernel's buffers.
pub(super) fn in_one_thread(config: &Config, channel: Channel) -> Result<Transfer, Error> {
    let Channel { mut sender, mut receiver, .. } = channel;
    let (out, mut into) = (config.buffer(), config.buffer());
    let (mut sent, mut received) = (0, 0);
    for end in [sender.as_fd(), receiver.as_fd()] {
        set_blocking(end, false).map_err(|e| Error::io("make an end non-blocking", e))?;
    }
    let start = Instant::now();
    while received < config.total_size {
        let (wrote, read) = (sent, received);
        if sent < config.total_size {
            sent += tried(sender.write(rest(&out, sent))).map_err(write_error)?;
        }
        match tried(receiver.read(&mut into)) {
            Ok(n) => received += n,
            Err(error) => return Err(read_error(error)),
        }
        if (wrote, read) == (sent, received) {
            let writes_left = sent < config.total_size;
            wait_until_ready(&sender, &receiver, writes_left)
                .map_err(|e| Error::io("wait for data", e))?;
        }
    }
    let time = start.elapsed();
    for end in [sender.as_fd(), receiver.as_fd()] {
        set_blocking(end, true).map_err(|e| Error::io("make an end blocking", e))?;
    }
    let closing = sender.end_of_data().map_err(close_error)?;
    received += receiver.close().map_err(read_error)?;
    closing.wait().map_err(close_error)?;
    Ok(Transfer { sent, received, time })
}

/// Returns how many bytes a call moved: 0 if the descriptor was not ready.
fn tried(result: io::Result<usize>) -> io::Result<u64> {
    match result {
        // Both ends are open and no buffer is empty, so a zero is a premature end.
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(n as u64),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(e),
    }
}

fn wait_until_ready(sender: &Sender, receiver: &Receiver, writes_left: bool) -> nix::Result<()> {
    let mut ends = [
        PollFd::new(receiver.as_fd(), PollFlags::POLLIN),
        PollFd::new(sender.as_fd(), PollFlags::POLLOUT),
    ];
    let ends = if writes_left { &mut ends[..] } else { &mut ends[..1] };
    match poll(ends, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Transfers from a second thread to this one.
pub(super) fn in_two_threads(config: &Config, channel: Channel) -> Result<Transfer, Error> {
    let Channel { sender, receiver, .. } = channel;
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .spawn_scoped(scope, || send(config, sender))
            .map_err(|e| Error::io("start a thread", e))?;
        // `receive` closes its end before it returns, so the other thread cannot wait forever.
        let received = receive(config, receiver);
        let sent = thread.join().unwrap_or(Err(Error::SendingThread));
        let ((received, end), (sent, start)) = both(received, sent)?;
        Ok(Transfer { sent, received, time: end - start })
    })
}

/// Combines the two halves of a transfer. If both failed, returns the error that came first: a failing
/// sender leaves its receiver short of data, and a failing receiver breaks its sender's channel.
pub(super) fn both<R, S>(
    received: Result<R, Error>,
    sent: Result<S, Error>,
) -> Result<(R, S), Error> {
    match (received, sent) {
        (Ok(received), Ok(sent)) => Ok((received, sent)),
        (Err(Error::Size { .. }), Err(error)) => Err(error),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Sends everything and closes; returns the bytes written, and when the first write began.
pub(super) fn send(config: &Config, mut sender: Sender) -> Result<(u64, Instant), Error> {
    let buffer = config.buffer();
    let start = Instant::now();
    let mut sent = 0;
    while sent < config.total_size {
        match sender.write(rest(&buffer, sent)) {
            Ok(0) => return Err(write_error(ErrorKind::WriteZero.into())),
            Ok(n) => sent += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(write_error(error)),
        }
    }
    sender.end_of_data().and_then(|closing| closing.wait()).map_err(close_error)?;
    Ok((sent, start))
}

/// Receives everything and closes; returns the bytes read, and when the last expected byte arrived.
pub(super) fn receive(config: &Config, mut receiver: Receiver) -> Result<(u64, Instant), Error> {
    let (mut buffer, expected) = (config.buffer(), config.total_size);
    let mut received = 0;
    while received < expected {
        match receiver.read(&mut buffer) {
            Ok(0) => return Err(Error::Size { expected, sent: None, received }),
            Ok(n) => received += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(error)),
        }
    }
    let end = Instant::now();
    received += receiver.close().map_err(read_error)?;
    Ok((received, end))
}

/// Returns the rest of the buffer to write after `sent` bytes.
fn rest(buffer: &[u8], sent: u64) -> &[u8] {
    // The remainder is less than the buffer's length, so it fits.
    &buffer[(sent % buffer.len() as u64) as usize..]
}

fn write_error(error: io::Error) -> Error {
    Error::io("write to the sending end", error)
}

fn read_error(error: io::Error) -> Error {
    Error::io("read from the receiving end", error)
}

fn close_error(error: io::Error) -> Error {
    Error::io("close the sending end", error)
}
