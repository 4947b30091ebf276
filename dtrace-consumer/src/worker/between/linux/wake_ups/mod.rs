//! When does what was traced wake libdtrace?
//!
//! libdtrace 2.0.7 has the kernel wake it for each record. The traced program pays for that: most of what a record
//! costs it is an interrupt that its CPU sends to itself. While many records come, libdtrace would find them without
//! being woken.
//!
//! The BPF programs write a record through the event that a map names for their CPU, and an attribute of the
//! event says when to wake. So this module opens a second event for each of libdtrace's buffers. It writes to
//! the same buffer, and wakes libdtrace only after each half buffer. While many records come, the map
//! names the second events; otherwise it names libdtrace's own.
//!
//! Then nothing tells libdtrace which buffers have data. So this module also comes between libdtrace and its wait: the
//! wait returns every buffer that has data, whether or not the kernel woke it for that. This mends a fault of
//! libdtrace, too. It asks its wait for as many results as there are buffers, but one of the results may tell of
//! processes. If it took the place of a buffer after the end of tracing, libdtrace would lose what that buffer has.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::Activity;
use crate::worker::between::called_function;
use crate::worker::system::linux::descriptors::are_left;
use buffer::Buffer;
use patience::Patience;

mod buffer;
mod patience;

pub(super) use buffer::is_buffer;

type MMap = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;
type MUnmap = unsafe extern "C" fn(*mut c_void, usize) -> c_int;
type Watch = unsafe extern "C" fn(c_int, c_int, c_int, *mut libc::epoll_event) -> c_int;
type Wait = unsafe extern "C" fn(c_int, *mut libc::epoll_event, c_int, c_int) -> c_int;

static MMAP: OnceLock<MMap> = OnceLock::new();
static MUNMAP: OnceLock<MUnmap> = OnceLock::new();
static WATCH: OnceLock<Watch> = OnceLock::new();
static WAIT: OnceLock<Wait> = OnceLock::new();

/// How many descriptors are left to the rest of the worker.
const LEFT_OVER: usize = 16;

static BUFFERS: Mutex<Buffers> =
    Mutex::new(Buffers { each: Vec::new(), map: None, patience: None, displaced: false, waits: 0 });

/// libdtrace's buffers.
struct Buffers {
    each: Vec<Buffer>,
    /// The map in which the programs find the event of their CPU.
    map: Option<RawFd>,
    /// `None` if the kernel always wakes libdtrace for each record.
    patience: Option<Patience>,
    /// Whether the last wait left out what is no buffer.
    displaced: bool,
    /// How many waits there have been.
    waits: u64,
}

/// Returns what has happened to the buffers so far; `None` if they are not watched.
pub(crate) fn activity() -> Option<Activity> {
    WAIT.get().map(|_| BUFFERS.lock().activity())
}

impl Buffers {
    fn activity(&self) -> Activity {
        let written = self.each.iter().map(Buffer::written).sum();
        Activity { waits: self.waits, written }
    }

    /// Adds the buffers that have data to what a wait has returned. Returns how many there are then.
    fn found_by_wait(
        &mut self,
        events: &mut [MaybeUninit<libc::epoll_event>],
        returned: usize,
    ) -> usize {
        self.waits += 1;
        let may_displace = !self.displaced;
        let (returned, displaces) = add_those_with_data(&self.each, events, returned, may_displace);
        self.displaced = displaces;
        returned
    }
}

/// Comes between the libdtrace that contains `inside` and its wait for buffers.
///
/// # Errors
/// The library does not call the functions that this module replaces.
pub(crate) fn watch_buffers(inside: usize) -> io::Result<()> {
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. The types are those of
    // the C library's functions; an offset in `mmap64` has 64 bits.
    unsafe {
        // Without the last one, no buffer is known.
        called_function::intercept(inside, c"epoll_wait", &WAIT, waits)?;
        called_function::intercept(inside, c"munmap", &MUNMAP, unmaps)?;
        called_function::intercept(inside, c"mmap64", &MMAP, maps)?;
        called_function::intercept(inside, c"epoll_ctl", &WATCH, watches)
    }
}

/// Notes an event that libdtrace has opened for the buffer of a CPU.
pub(super) fn opened(event: RawFd, cpu: u32) {
    BUFFERS.lock().each.push(Buffer::new(event, cpu));
}

/// Notes the map in which the programs find the events.
pub(super) fn keep_map(map: RawFd) {
    BUFFERS.lock().map = Some(map);
}

/// Makes it possible to let records wait for up to `delay`; see [`let_wait`]. libdtrace has its buffers by then.
///
/// # Errors
/// libdtrace does not use its buffers as 2.0.7 does, or the kernel refuses a second event for one of them.
pub(crate) fn prepare_to_let_wait(delay: Duration) -> io::Result<()> {
    let mut buffers = BUFFERS.lock();
    if buffers.map.is_none() || buffers.each.is_empty() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "libdtrace has no such buffers"));
    }
    let added = buffers.each.iter_mut().try_for_each(Buffer::add_event);
    let are_left = || {
        are_left(LEFT_OVER).map_err(|error| {
            let few = "few descriptors would be left (raise the limit by `ulimit -n`)";
            io::Error::new(error.kind(), format!("{few}: {error}"))
        })
    };
    if let Err(error) = added.and_then(|()| are_left()) {
        buffers.each.iter_mut().for_each(Buffer::remove_event);
        return Err(error);
    }
    buffers.patience = Some(Patience::new(delay));
    Ok(())
}

/// Lets records wait in their buffers, or has the kernel wake libdtrace for each again. Returns whether they may wait
/// now.
pub(crate) fn let_wait(wait: bool) -> bool {
    let mut buffers = BUFFERS.lock();
    let Buffers { each, map: Some(map), patience: Some(patience), .. } = &mut *buffers else {
        return false;
    };
    if patience.is_waiting() != wait {
        let write_through = |second| each.iter().try_for_each(|it| it.write_through(*map, second));
        match write_through(wait) {
            Ok(()) => patience.change(wait),
            // Some may write through the one event, and some through the other. Looking into all buffers after
            // each delay is right for both.
            Err(_) => patience.change(true),
        }
    }
    patience.is_waiting()
}

/// Returns whether a buffer has data that libdtrace has not read.
pub(crate) fn have_data() -> bool {
    BUFFERS.lock().each.iter().any(Buffer::has_data)
}

/// Puts each buffer with data among the events that a wait has returned, of which there are `returned`. Returns how
/// many there are then, and whether one that is no buffer had to make room.
fn add_those_with_data(
    buffers: &[Buffer],
    events: &mut [MaybeUninit<libc::epoll_event>],
    returned: usize,
    may_displace: bool,
) -> (usize, bool) {
    let (mut returned, mut displaces) = (returned.min(events.len()), false);
    let name_at = |events: &[MaybeUninit<libc::epoll_event>], at: usize| {
        // SAFETY: the events before `returned` were written by the wait or below.
        unsafe { events[at].assume_init() }.u64
    };
    for name in buffers.iter().filter(|it| it.has_data()).filter_map(Buffer::name) {
        if (0..returned).any(|at| name_at(events, at) == name) {
            continue;
        }
        // What is no buffer is returned by the next wait as well, until libdtrace has dealt with it. Buffers may
        // always have data, so it makes room only every other time.
        let is_other =
            |at: &usize| buffers.iter().all(|it| it.name() != Some(name_at(events, *at)));
        let full = returned == events.len();
        let other = (0..returned).find(is_other).filter(|_| may_displace);
        let Some(place) = (if full { other } else { Some(returned) }) else { break };
        displaces |= full;
        events[place].write(event(name));
        returned = returned.max(place + 1);
    }
    (returned, displaces)
}

/// Returns what a wait returns for a buffer with this name.
fn event(name: u64) -> libc::epoll_event {
    libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: name }
}

/// Takes the place of `mmap64` for libdtrace.
unsafe extern "C" fn maps(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    // It is set before this function's address is.
    let Some(next) = MMAP.get() else { return libc::MAP_FAILED };
    // SAFETY: it is the caller's call.
    let mapped = unsafe { next(address, length, protection, flags, fd, offset) };
    if mapped != libc::MAP_FAILED
        && let Some(buffer) = BUFFERS.lock().each.iter_mut().find(|it| it.is_of(fd))
    {
        // SAFETY: the mapping is that of an event's buffer, and begins at its start: libdtrace passes no offset.
        // When libdtrace removes it, `unmaps` is called.
        unsafe { buffer.mapped_at(mapped, length) };
    }
    mapped
}

/// Takes the place of `munmap` for libdtrace.
unsafe extern "C" fn unmaps(address: *mut c_void, length: usize) -> c_int {
    let Some(next) = MUNMAP.get() else { return -1 };
    BUFFERS.lock().each.retain(|it| !it.is_mapped_at(address));
    // SAFETY: it is the caller's call.
    unsafe { next(address, length) }
}

/// Takes the place of `epoll_ctl` for libdtrace.
unsafe extern "C" fn watches(
    set: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut libc::epoll_event,
) -> c_int {
    let Some(next) = WATCH.get() else { return -1 };
    // SAFETY: it is the caller's call.
    let result = unsafe { next(set, operation, fd, event) };
    if result == 0
        && operation == libc::EPOLL_CTL_ADD
        && let Some(buffer) = BUFFERS.lock().each.iter_mut().find(|it| it.is_of(fd))
    {
        // SAFETY: the call has succeeded, so the caller passed an event.
        buffer.watched_as(unsafe { event.read() }.u64);
    }
    result
}

/// Takes the place of `epoll_wait` for libdtrace.
unsafe extern "C" fn waits(
    set: c_int,
    events: *mut libc::epoll_event,
    places: c_int,
    timeout: c_int,
) -> c_int {
    let Some(next) = WAIT.get() else { return -1 };
    let mut left = timeout;
    loop {
        let now = BUFFERS.lock().patience.as_mut().map_or(left, |it| it.next(left));
        // SAFETY: it is the caller's call, with another time.
        let returned = unsafe { next(set, events, places, now) };
        let Ok(filled) = usize::try_from(returned) else { return returned };
        // SAFETY: the caller's array has so many places; the call has succeeded, so there is at least one.
        let all =
            unsafe { slice::from_raw_parts_mut(events.cast(), places.unsigned_abs() as usize) };
        let add = AssertUnwindSafe(|| BUFFERS.lock().found_by_wait(all, filled));
        let filled = catch_unwind(add).unwrap_or(filled);
        left = if left < 0 { left } else { left - now };
        let goes_on = BUFFERS.lock().patience.as_ref().is_some_and(Patience::looks_again);
        if filled > 0 || left == 0 || !goes_on {
            return c_int::try_from(filled).unwrap_or(places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: u64 = 99;

    /// Returns the names of what a wait returns that has two places, if the kernel returns these.
    fn returned(buffers: &mut Buffers, by_kernel: &[u64]) -> Vec<u64> {
        let mut places = [MaybeUninit::uninit(); 2];
        for (place, name) in places.iter_mut().zip(by_kernel) {
            place.write(event(*name));
        }
        let filled = buffers.found_by_wait(&mut places, by_kernel.len());
        // SAFETY: so many places are filled.
        places[..filled].iter().map(|place| unsafe { place.assume_init() }.u64).collect()
    }

    #[test]
    fn a_wait_returns_every_buffer_that_has_data() {
        let (empty, full) = ([8, 8], [16, 8]);
        for (ends, by_kernel, expected) in [
            ([empty, empty], &[][..], &[][..]),
            ([empty, empty], &[OTHER, 1], &[OTHER, 1]),
            ([empty, full], &[], &[2]),
            ([empty, full], &[2], &[2]),
            ([empty, full], &[OTHER], &[OTHER, 2]),
            ([empty, full], &[1], &[1, 2]),
            ([full, full], &[], &[1, 2]),
            ([full, full], &[2], &[2, 1]),
            // What is no buffer can wait.
            ([full, full], &[OTHER], &[2, 1]),
            ([full, full], &[OTHER, 2], &[1, 2]),
        ] {
            let [first, second] = ends;
            let each = vec![Buffer::described_by(1, first), Buffer::described_by(2, second)];
            let found = returned(&mut with(each), by_kernel);
            assert_eq!(found, expected, "{ends:?} {by_kernel:?}");
        }
    }

    fn with(each: Vec<Buffer>) -> Buffers {
        Buffers { each, map: None, patience: None, displaced: false, waits: 0 }
    }

    #[test]
    fn what_is_no_buffer_waits_once_at_most() {
        let full = |name| Buffer::described_by(name, [16, 8]);
        let mut buffers = with(vec![full(1), full(2)]);
        let before = buffers.activity();
        for expected in [[2, 1], [OTHER, 1], [2, 1], [OTHER, 1]] {
            assert_eq!(returned(&mut buffers, &[OTHER]), expected);
        }
        assert_eq!(buffers.activity().since(before).waits, 4);
    }

    #[test]
    fn what_was_written_is_counted_whether_or_not_it_was_read() {
        let ends = |ends| Buffer::described_by(1, ends);
        let written = |each| with(each).activity().written;
        let before = Activity { waits: 0, written: written(vec![ends([16, 8]), ends([8, 8])]) };
        let now = Activity { waits: 0, written: written(vec![ends([48, 8]), ends([72, 72])]) };
        assert_eq!((before.written, now.since(before).written), (24, 96));
        // libdtrace has removed a buffer.
        assert_eq!(before.since(now).written, 0);
    }

    #[test]
    fn a_buffer_that_libdtrace_does_not_wait_for_is_left_alone() {
        let mut buffer = Buffer::new(3, 0);
        assert!(buffer.is_of(3) && !buffer.has_data());
        buffer.watched_as(1);
        assert!(!buffer.has_data(), "it is not mapped");
        assert!(buffer.add_event().is_err());
        assert_eq!(returned(&mut with(vec![buffer]), &[OTHER]), [OTHER]);
    }

    /// The places for events, and each event, are allocated to the byte.
    #[test]
    fn events_are_written_to_the_last_place_and_no_further() {
        unsafe extern "C" fn kernel(
            _: c_int,
            events: *mut libc::epoll_event,
            _: c_int,
            _: c_int,
        ) -> c_int {
            // SAFETY: there is at least one place.
            unsafe { events.write(event(OTHER)) };
            1
        }
        unsafe extern "C" fn adds(
            _: c_int,
            _: c_int,
            _: c_int,
            _: *mut libc::epoll_event,
        ) -> c_int {
            0
        }
        let _ = WAIT.set(kernel);
        let _ = WATCH.set(adds);
        let each = [1, 2].map(|name| Buffer::described_by(name, [16, 8]));
        *BUFFERS.lock() = with(Vec::from(each));
        for (places, expected) in
            [(3, &[OTHER, 1, 2][..]), (2, &[2, 1]), (1, &[OTHER]), (1, &[1]), (4, &[OTHER, 1, 2])]
        {
            let mut events = vec![event(0); places].into_boxed_slice();
            let number = c_int::try_from(places).expect("few");
            // SAFETY: there are so many places.
            let returned = unsafe { waits(-1, events.as_mut_ptr(), number, 0) };
            let filled = usize::try_from(returned).expect("a number");
            let names: Vec<u64> = events[..filled].iter().map(|event| event.u64).collect();
            assert_eq!(names, expected, "{places} places");
        }
        *BUFFERS.lock() = with(vec![Buffer::new(7, 0)]);
        let mut named = Box::new(event(5));
        // SAFETY: the event is complete.
        let added = unsafe { watches(-1, libc::EPOLL_CTL_ADD, 7, &raw mut *named) };
        assert_eq!((added, BUFFERS.lock().each[0].name()), (0, Some(5)));
        *BUFFERS.lock() = with(Vec::new());
    }

    #[test]
    fn attributes_of_an_event_are_read_as_far_as_every_version_reaches() {
        for (kind, config, expected) in [(1, 10, true), (1, 9, false), (2, 10, false)] {
            let attributes = Box::new(([kind, 0u32], config as u64));
            // SAFETY: the attributes begin like this.
            assert_eq!(unsafe { is_buffer((&raw const *attributes).cast()) }, expected);
        }
        // SAFETY: there are none.
        assert!(!unsafe { is_buffer(std::ptr::null()) });
    }
}
