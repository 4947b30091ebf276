//! Which events write to a buffer, and what does it have?

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::bpf;

/// `PERF_TYPE_SOFTWARE`, and `PERF_COUNT_SW_BPF_OUTPUT`: an event that BPF programs write through.
const SOFTWARE: u32 = 1;
const BPF_OUTPUT: u64 = 10;
/// `PERF_SAMPLE_RAW`
const RAW: u64 = 1 << 10;
/// `PERF_FLAG_FD_CLOEXEC`
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// `PERF_EVENT_IOC_SET_OUTPUT`
const SET_OUTPUT: u32 = 0x2405;

/// `struct perf_event_attr` as its first version has it.
#[repr(C)]
struct Attributes {
    kind: u32,
    length: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    /// After how many records to wake. If it is 0, the kernel wakes when the buffer is half full.
    wakeup_events: u32,
    others: [u32; 3],
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// Returns whether attributes are those of an event that BPF programs write through.
///
/// # Safety
/// `attributes` points to attributes of perf_event_open(2), or is null.
pub(in super::super) unsafe fn is_buffer(attributes: *const c_void) -> bool {
    // SAFETY: every version of the attributes begins with these. The caller guarantees the rest.
    let beginning = unsafe { attributes.cast::<([u32; 2], u64)>().as_ref() };
    beginning.is_some_and(|([kind, _], config)| (*kind, *config) == (SOFTWARE, BPF_OUTPUT))
}

/// Where the first page of a buffer has `data_head` and `data_tail`: how much the kernel has written, and how much
/// of it libdtrace has read.
const ENDS: usize = 1024;

/// A buffer of libdtrace.
#[derive(Debug)]
pub(super) struct Buffer {
    cpu: u32,
    /// libdtrace's own event.
    event: RawFd,
    /// The second event, for records that wait. Like libdtrace's own, it is open until tracing ends.
    second: Option<RawFd>,
    /// Its first page.
    page: usize,
    ends: Option<&'static [AtomicU64; 2]>,
    /// What libdtrace's wait returns for it.
    name: Option<u64>,
}

impl Buffer {
    pub(super) fn new(event: RawFd, cpu: u32) -> Buffer {
        Buffer { cpu, event, second: None, page: 0, ends: None, name: None }
    }

    pub(super) fn is_of(&self, event: RawFd) -> bool {
        self.event == event
    }

    /// Notes where it is mapped.
    ///
    /// # Safety
    /// So many bytes of the buffer are mapped there from its start, until this value is dropped.
    pub(super) unsafe fn mapped_at(&mut self, start: *mut c_void, length: usize) {
        if length >= ENDS + size_of::<[u64; 2]>() {
            self.page = start.addr();
            // SAFETY: the caller guarantees that this is mapped. A page is aligned for any type. Both the kernel and
            // libdtrace write these numbers as wholes.
            self.ends = unsafe { start.byte_add(ENDS).cast::<[AtomicU64; 2]>().as_ref() };
        }
    }

    pub(super) fn is_mapped_at(&self, start: *mut c_void) -> bool {
        self.ends.is_some() && self.page == start.addr()
    }

    pub(super) fn watched_as(&mut self, name: u64) {
        self.name = Some(name);
    }

    /// Returns what libdtrace's wait returns for the buffer, if libdtrace waits for it.
    pub(super) fn name(&self) -> Option<u64> {
        self.name
    }

    /// Returns whether it has data that libdtrace has not read.
    pub(super) fn has_data(&self) -> bool {
        self.ends().is_some_and(|[head, tail]| head != tail)
    }

    /// Returns how many bytes the kernel has written to it.
    pub(super) fn written(&self) -> u64 {
        self.ends().map_or(0, |[head, _]| head)
    }

    /// Returns how much the kernel has written, and how much of it libdtrace has read.
    fn ends(&self) -> Option<[u64; 2]> {
        let (Some([head, tail]), Some(_)) = (self.ends, self.name) else { return None };
        Some([head.load(Ordering::Acquire), tail.load(Ordering::Relaxed)])
    }

    /// Opens the second event.
    pub(super) fn add_event(&mut self) -> io::Result<()> {
        if self.ends.is_none() || self.name.is_none() {
            let message = format!("libdtrace does not use the buffer of CPU {}", self.cpu);
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let attributes = Attributes {
            kind: SOFTWARE,
            length: size_of::<Attributes>() as u32,
            config: BPF_OUTPUT,
            sample_period: 1,
            sample_type: RAW,
            read_format: 0,
            flags: 0,
            wakeup_events: 0,
            others: [0; 3],
        };
        let (any_process, no_group): (c_int, c_int) = (-1, -1);
        // SAFETY: the attributes have the length that they name, and outlive the call.
        let opened = unsafe {
            let (call, given) = (libc::SYS_perf_event_open, &raw const attributes);
            libc::syscall(call, given, any_process, self.cpu, no_group, CLOSE_ON_EXEC)
        };
        let opened = c_int::try_from(opened).ok().filter(|fd| *fd >= 0);
        let second = opened.ok_or_else(|| self.failed("opening a second event for"))?;
        self.second = Some(second);
        // SAFETY: the call takes a descriptor, and touches no memory of this process.
        let shared = unsafe { libc::ioctl(second, SET_OUTPUT as _, self.event) };
        if shared == -1 { Err(self.failed("sharing")) } else { Ok(()) }
    }

    /// Returns the last error of the C library, as that of an attempt.
    fn failed(&self, attempt: &str) -> io::Error {
        let error = io::Error::last_os_error();
        io::Error::new(error.kind(), format!("{attempt} the buffer of CPU {}: {error}", self.cpu))
    }

    /// Closes the second event. Afterwards, its number may be another file's.
    pub(super) fn remove_event(&mut self) {
        if let Some(second) = self.second.take() {
            // SAFETY: nobody else has this descriptor, and closing it touches no memory.
            unsafe { libc::close(second) };
        }
    }

    /// Has the programs write through the second event, or through libdtrace's own.
    pub(super) fn write_through(&self, map: RawFd, second: bool) -> io::Result<()> {
        let event = self.second.filter(|_| second).unwrap_or(self.event);
        // SAFETY: the keys of this map are numbers of CPUs, and its values are descriptors.
        unsafe { bpf::update(map, self.cpu, event.to_ne_bytes()) }
    }

    /// Makes a buffer with these ends.
    #[cfg(test)]
    pub(super) fn described_by(name: u64, ends: [u64; 2]) -> Buffer {
        let ends: &[AtomicU64; 2] = Box::leak(Box::new(ends.map(AtomicU64::new)));
        Buffer { name: Some(name), ends: Some(ends), ..Buffer::new(-1, 0) }
    }
}
