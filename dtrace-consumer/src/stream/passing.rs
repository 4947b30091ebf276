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
    #[cfg(not(target_os = "macos"))]
    let flags = SocketFlags::CLOEXEC;
    // There is no such flag. There are no such sockets either, so the call fails.
    #[cfg(target_os = "macos")]
    let flags = SocketFlags::empty();
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
    #[cfg(not(target_os = "macos"))]
    let flags = SendFlags::NOSIGNAL;
    #[cfg(target_os = "macos")]
    let flags = SendFlags::empty();
    #[cfg(target_os = "macos")]
    rustix::net::sockopt::set_socket_nosigpipe(&to, true)?;
    Ok(retry_on_intr(|| sendmsg(&to, &bytes, &mut ancillary, flags))?)
}

/// The space for what comes with a message.
#[cfg(target_os = "linux")]
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST), ScmCredentials(1));
#[cfg(not(target_os = "linux"))]
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST));

/// Has all messages from now on say who sent them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn name_senders(_: impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has all messages from now on say who sent them.
#[cfg(target_os = "linux")]
pub(crate) fn name_senders(to: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(to, true)?)
}

/// What came with the beginning of a message.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// How many bytes were received, 0 at the end.
    pub(crate) length: usize,
    /// The descriptors that were sent with the first byte.
    pub(crate) with: Vec<OwnedFd>,
    /// The process that sent it, according to the kernel, if it was asked to.
    pub(crate) sender: Option<i32>,
}

/// Receives at most a buffer full.
pub(crate) fn receive(from: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(bytes)];
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let flags = RecvFlags::empty();
    let received = retry_on_intr(|| recvmsg(&from, &mut bytes, &mut ancillary, flags))?;
    let mut found = Received { length: received.bytes, ..Received::default() };
    for message in ancillary.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(descriptors) => found.with.extend(descriptors),
            #[cfg(target_os = "linux")]
            RecvAncillaryMessage::ScmCredentials(sender) => {
                found.sender = Some(sender.pid.as_raw_nonzero().get());
            }
            _ => {}
        }
    }
    // There is no such flag there. Only workers receive descriptors on these systems, and start no programs meanwhile.
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    for descriptor in &found.with {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(found)
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
        let Received { length, with, sender } = receive(&theirs, &mut bytes).expect("received");
        assert_eq!((&bytes[..length], with.len(), sender), (&b"here"[..], 2, None));
        let mut writer = File::from(with.into_iter().next().expect("a descriptor"));
        writer.write_all(b"through").expect("there is room");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("its end");
        assert_eq!(text, "through");
        drop(ours);
        assert_eq!(receive(&theirs, &mut bytes).expect("the end").length, 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "sockets")]
    fn the_kernel_says_who_sent_a_message() {
        let (ours, theirs) = pair().expect("sockets");
        name_senders(&theirs).expect("an option of sockets");
        send(&ours, b"x", &[ours.as_fd()]).expect("sent");
        let received = receive(&theirs, &mut [0; 1]).expect("received");
        let own = std::process::id().cast_signed();
        assert_eq!((received.sender, received.with.len()), (Some(own), 1));
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
