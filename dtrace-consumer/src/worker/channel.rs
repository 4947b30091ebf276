//! Receives messages from the consumer.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::system::peer_of;
use crate::stream::job::{Command, Job};
use crate::stream::passing;

/// The longest job that a worker of the same user accepts, in bytes.
const JOB_LIMIT: usize = 64 << 20;

/// The longest later message, in bytes. None has any contents.
pub(super) const LATER_LIMIT: usize = 1 << 10;

/// Takes over standard input and replaces it by /dev/null, so that programs started by tracing do not inherit
/// the channel.
pub(super) fn take_channel() -> io::Result<UnixStream> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let channel = UnixStream::from(input);
    // Fails if standard input is not a Unix socket: something other than a consumer set the marker.
    channel.local_addr()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(channel)
}

/// Fails unless the channel belongs to the user that the worker runs as. A worker that anybody can start
/// serves nobody else; only [`super::elevated`] decides what other users may request.
pub(super) fn require_own(channel: &UnixStream) -> io::Result<()> {
    if peer_of(channel)?.uid == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::other("the channel belongs to another user"))
}

/// Reads the job, and the descriptor that was sent with it: the socket for requests to a template.
pub(super) fn first_message(channel: &UnixStream) -> io::Result<(Job, Option<OwnedFd>)> {
    let mut length = [0; 4];
    let mut received = passing::receive(channel, &mut length)?;
    read_exactly(channel, length.get_mut(received.length..).unwrap_or_default())?;
    match read_message(channel, length, JOB_LIMIT)? {
        Command::Job(job) => Ok((*job, received.with.pop())),
        _ => Err(io::Error::other("the consumer sent no job")),
    }
}

/// Reads the next message. Returns `None` when the consumer has closed the channel.
pub(super) fn read_command(channel: &UnixStream, limit: usize) -> io::Result<Option<Command>> {
    let mut length = [0; 4];
    match read_exactly(channel, &mut length) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    read_message(channel, length, limit).map(Some)
}

/// Reads a message that has this length.
fn read_message(channel: &UnixStream, length: [u8; 4], limit: usize) -> io::Result<Command> {
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message exceeds the limit"));
    }
    let mut body = vec![0; length];
    read_exactly(channel, &mut body)?;
    Command::decode(&body).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))
}

/// Fills the buffer from the channel, and reads nothing beyond.
fn read_exactly(mut from: &UnixStream, buffer: &mut [u8]) -> io::Result<()> {
    from.read_exact(buffer)
}

/// Returns a channel on which a request to stop has come, in a message of this length.
#[cfg(test)]
pub(super) fn with_request(length: usize) -> UnixStream {
    use std::io::Write;

    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut message = vec![0; length];
    // The kind of such a request.
    message[0] = 2;
    let length = u32::try_from(length).expect("it fits").to_le_bytes();
    theirs.write_all(&length).and_then(|()| theirs.write_all(&message)).expect("there is room");
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn a_message_beyond_the_limit_is_not_read() {
        let read = |length| read_command(&with_request(length), LATER_LIMIT);
        assert_eq!(read(1).expect("a message"), Some(Command::Stop));
        assert!(read(LATER_LIMIT).is_ok());
        let error = read(LATER_LIMIT + 1).expect_err("it is too long");
        assert_eq!(error.to_string(), "a message exceeds the limit");
    }
}
