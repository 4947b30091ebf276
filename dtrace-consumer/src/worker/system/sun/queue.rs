//! Watches processes with kqueue(2).

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

/// Returns a descriptor of the process that becomes readable when the process ends.
pub(crate) fn watch_process(pid: i32) -> io::Result<OwnedFd> {
    let id = usize::try_from(pid).ok().filter(|id| *id > 0).ok_or(io::ErrorKind::InvalidInput)?;
    let queue = Kqueue::new()?;
    let (flags, exit) = (EvFlags::EV_ADD, FilterFlag::NOTE_EXIT);
    let end = KEvent::new(id, EventFilter::EVFILT_PROC, flags, exit, 0, 0);
    queue.kevent(&[end], &mut [], None)?;
    Ok(queue.into())
}
