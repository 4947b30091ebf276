//! Ends a worker that is inside libdtrace's opening when its consumer goes.
//!
//! Until the worker listens to its consumer ([`super::control`]), a thread watches for its end only. It leaves requests
//! where they are. It is over before the process may be copied.

use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::GRACE;
use super::own_process;
use super::system::{end_of, peer_of, watch_process};

/// Watches until it is dropped.
pub(super) struct Watch {
    /// Its thread ends when nobody can write to the pipe.
    going: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching.
    pub(super) fn start(channel: &UnixStream) -> io::Result<Watch> {
        let (over, going) = io::pipe()?;
        let channel = channel.try_clone()?;
        let consumer = peer_of(&channel).and_then(|consumer| watch_process(consumer.pid)).ok();
        let watch = move || {
            if has_gone(&channel, consumer.as_ref(), &over)
                && !wait(&mut [PollFd::new(over.as_fd(), PollFlags::POLLIN)], Some(GRACE))
            {
                own_process::end(1);
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
        Ok(Watch { going: Some(going), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.going.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until the consumer is gone; returns `false` if `over` comes first.
fn has_gone(channel: &UnixStream, consumer: Option<&OwnedFd>, over: &impl AsFd) -> bool {
    // Without a flag, only its end counts.
    let mut watched = vec![
        PollFd::new(over.as_fd(), PollFlags::POLLIN),
        PollFd::new(channel.as_fd(), PollFlags::empty()),
    ];
    watched.extend(consumer.map(end_of));
    wait(&mut watched, None);
    !watched[0].any().unwrap_or(true)
}

/// Waits for one of these. Returns `false` if none has come.
fn wait(watched: &mut [PollFd<'_>], limit: Option<std::time::Duration>) -> bool {
    let limit = limit.map_or(PollTimeout::NONE, |it| it.try_into().unwrap_or(PollTimeout::MAX));
    loop {
        match poll(watched, limit) {
            Err(Errno::EINTR) => {}
            polled => return polled.is_ok_and(|number| number > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn a_request_is_no_end_and_stays_where_it_is() {
        use std::io::{Read, Write};

        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        theirs.write_all(b"request").expect("there is room");
        drop(Watch::start(&ours).expect("a thread"));
        let mut request = [0; 7];
        (&ours).read_exact(&mut request).expect("it is there");
        assert_eq!(&request, b"request");
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn the_end_of_the_channel_is_the_consumers() {
        let (over, _going) = io::pipe().expect("a pipe");
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        theirs.shutdown(std::net::Shutdown::Both).expect("connected");
        assert!(has_gone(&ours, None, &over));
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn a_watch_that_is_over_sees_no_end() {
        let (over, going) = io::pipe().expect("a pipe");
        let (ours, _theirs) = UnixStream::pair().expect("sockets");
        drop(going);
        assert!(!has_gone(&ours, None, &over));
    }
}
