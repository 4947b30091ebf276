//! How does the consumer reach a worker that is waiting inside libdtrace?
//!
//! A thread listens to the channel, notes requests, and wakes the waiting thread by writing to the event
//! descriptor that libdtrace itself waits on. A signal would be lost if it arrived before the wait begins; a
//! written event is not.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex};

use super::channel::{LATER_LIMIT, read_command};
use super::own_process;
use super::system::{duplicate, end_of, end_tracing, peer_of, watch_process};
use crate::stream::job::Command;

/// How long a worker may stay inside libdtrace after its consumer has gone, before the process ends anyway.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How often to wake the working thread, so that the consumer knows that it is not stuck. libdtrace
/// waits for a second, unless the option `switchrate` sets another interval.
const BEAT: Duration = Duration::from_secs(20);

/// The requests to the worker.
pub(super) struct Control {
    stop: AtomicBool,
    snapshot: AtomicBool,
    catch_up: AtomicBool,
    abandoned: AtomicBool,
    closed: AtomicBool,
    waker: Mutex<Option<File>>,
    asked: Mutex<bool>,
    asking: Condvar,
}

impl Control {
    pub(super) fn new() -> Control {
        Control {
            stop: AtomicBool::new(false),
            snapshot: AtomicBool::new(false),
            catch_up: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            waker: Mutex::new(None),
            asked: Mutex::new(false),
            asking: Condvar::new(),
        }
    }

    /// Makes requests also wake a thread that waits on this event descriptor.
    pub(super) fn wake_through(&self, eventfd: Option<i32>) {
        *self.waker.lock() = eventfd.and_then(|fd| duplicate(fd).ok()).map(File::from);
        if self.stop.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// Ends the wait of the working thread, or its next one.
    pub(super) fn wake(&self) {
        *self.asked.lock() = true;
        self.asking.notify_all();
        if let Some(waker) = &mut *self.waker.lock() {
            // It fails only if the counter is at its limit, and then the wait ends anyway.
            let _ = waker.write_all(&1u64.to_ne_bytes());
        }
    }

    /// Waits for a while, or until a request arrives.
    pub(super) fn pause(&self, at_most: Duration) {
        let mut asked = self.asked.lock();
        if !*asked {
            self.asking.wait_for(&mut asked, at_most);
        }
        *asked = false;
    }

    pub(super) fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_snapshot(&self) -> bool {
        self.snapshot.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_catch_up(&self) -> bool {
        self.catch_up.swap(false, Ordering::AcqRel)
    }

    /// Returns whether the consumer is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Notes that the consumer is gone, and drops its requests. The waiting thread ends the process. If
    /// libdtrace does not return to it, this thread does.
    fn abandon(&self) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.abandoned.store(true, Ordering::Release);
        self.wake();
        std::thread::sleep(GRACE);
        if !self.closed.load(Ordering::Acquire) {
            end_tracing();
            own_process::end(1);
        }
    }

    /// Notes that the session is over. The end of the channel means nothing from here on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Starts the thread that listens for requests, and that requests a snapshot every `interval`.
pub(super) fn listen(
    control: Arc<Control>,
    channel: UnixStream,
    interval: Option<Duration>,
) -> io::Result<()> {
    // The channel ends with the consumer, unless a process that it forked holds the channel, too. Without a
    // pidfd that case goes unnoticed.
    let consumer = peer_of(&channel).ok().and_then(|consumer| watch_process(consumer.pid).ok());
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let mut next = interval.map(|every| Instant::now() + every);
        loop {
            let beat = Instant::now() + BEAT;
            match wait(&channel, consumer.as_ref(), next.map_or(beat, |next| next.min(beat))) {
                Asked::Stop => control.stop.store(true, Ordering::Release),
                Asked::CatchUp => control.catch_up.store(true, Ordering::Release),
                Asked::Nothing if next.is_some_and(|next| next <= Instant::now()) => {
                    control.snapshot.store(true, Ordering::Release);
                    next = interval.map(|every| Instant::now() + every);
                }
                Asked::Nothing => {}
                Asked::Gone => {
                    control.abandon();
                    return;
                }
            }
            control.wake();
        }
    })?;
    Ok(())
}

enum Asked {
    Stop,
    CatchUp,
    /// The time limit was reached.
    Nothing,
    /// The consumer is gone and will make no more requests.
    Gone,
}

fn wait(channel: &UnixStream, consumer: Option<&OwnedFd>, until: Instant) -> Asked {
    loop {
        // Round up to whole milliseconds.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut watched = vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        watched.extend(consumer.map(end_of));
        match poll(&mut watched, timeout) {
            Ok(0) if until <= Instant::now() => return Asked::Nothing,
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(_) => return Asked::Gone,
        }
        if watched[0].any().unwrap_or(true) {
            match read_command(channel, LATER_LIMIT) {
                Ok(Some(Command::Stop)) => return Asked::Stop,
                Ok(Some(Command::CatchUp)) => return Asked::CatchUp,
                Ok(Some(Command::Job(_))) => continue,
                Ok(None) | Err(_) => return Asked::Gone,
            }
        }
        return Asked::Gone;
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel::with_request;
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn a_consumer_that_sends_too_long_a_message_is_gone() {
        let until = Instant::now() + Duration::from_secs(60);
        let asked = |length| wait(&with_request(length), None, until);
        assert!(matches!(asked(1), Asked::Stop));
        assert!(matches!(asked(1024), Asked::Stop));
        assert!(matches!(asked(1025), Asked::Gone));
        assert!(matches!(asked(64 << 10), Asked::Gone));
    }
}
