//! Passes descriptors between processes, together with a message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
};

/// The most descriptors that a message has.
const MOST: usize = 4;

/// Returns two ends of a channel for whole messages.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends the beginning of a message with descriptors. Returns how many bytes of it were sent; the descriptors were.
pub(crate) fn send(to: impl AsFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let bytes = [IoSlice::new(bytes)];
    // A receiver that is gone is an error, not a signal.
    let flags = SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| sendmsg(&to, &bytes, &mut ancillary, flags))?)
}

/// Receives at most a buffer full, with the descriptors that were sent with the first byte. Returns the number of
/// bytes, 0 at the end.
pub(crate) fn receive(from: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| recvmsg(&from, &mut bytes, &mut ancillary, flags))?;
    let with = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, with.flatten().collect()))
}

/// Ends a channel for all processes that have it.
pub(crate) fn end(channel: impl AsFd) {
    let _ = shutdown(channel, Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn a_descriptor_arrives_with_its_message() {
        let (ours, theirs) = pair().expect("sockets");
        let (mut reader, writer) = UnixStream::pair().expect("sockets");
        assert_eq!(send(&ours, b"here", &[writer.as_fd(), ours.as_fd()]).expect("sent"), 4);
        drop(writer);
        let mut bytes = [0; 8];
        let (length, with) = receive(&theirs, &mut bytes).expect("received");
        assert_eq!((&bytes[..length], with.len()), (&b"here"[..], 2));
        let mut writer = File::from(with.into_iter().next().expect("a descriptor"));
        writer.write_all(b"through").and_then(|()| drop_it(writer)).expect("written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("its end");
        assert_eq!(text, "through");
        drop(ours);
        assert_eq!(receive(&theirs, &mut bytes).expect("the end").0, 0);
    }

    fn drop_it(file: File) -> io::Result<()> {
        drop(file);
        Ok(())
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn sending_to_nobody_fails() {
        let (ours, theirs) = pair().expect("sockets");
        drop(theirs);
        let error = send(&ours, b"x", &[]).expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let too_many = [ours.as_fd(); MOST + 1];
        assert!(send(&ours, b"x", &too_many).is_err());
    }
}
