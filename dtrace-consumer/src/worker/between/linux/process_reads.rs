//! How does libdtrace safely read a process that keeps running?
//!
//! libdtrace 2.0.7 assumes twice that the process does not change meanwhile, and otherwise writes out of bounds.
//!
//! It follows the dynamic linker's list of libraries once to count them, and once more to store them in as many
//! places. If the process loads a library in between, it stores one too many. So this module has what a thread has
//! read of a process's memory stay as it is until that thread waits for the process or tells it to go on. It does
//! neither while it follows the list. A process has a thread of its own, which does so by `waitpid` and `ptrace`; the
//! main thread has it done by that thread, which it wakes by `pthread_kill`.
//!
//! It uses the result of `readlink` as the length of a path even if the call failed, because the process has ended
//! or has no executable. So this module has the path be empty then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use nix::errno::Errno;
use parking_lot::Mutex;

use crate::worker::between::called_function;

type PRead = unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize;
type ReadLink = unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> isize;
type Kill = unsafe extern "C" fn(libc::pthread_t, c_int) -> c_int;

static PREAD: OnceLock<PRead> = OnceLock::new();
static READLINK: OnceLock<ReadLink> = OnceLock::new();
static KILL: OnceLock<Kill> = OnceLock::new();

/// How often each descriptor that was read has been closed. The next one with its number may be another process's.
static CLOSED: Mutex<BTreeMap<c_int, u64>> = Mutex::new(BTreeMap::new());

/// How much is remembered at a time. Each page of the smallest size is readable as a whole, or not at all.
const PAGE: usize = 4096;

/// How many pages a thread remembers at most: 16 MiB. A dynamic linker's lists are far shorter.
const MOST_PAGES: usize = 4096;

/// How often a thread reads at most before it forgets. A list that leads back to itself has no end, and stays so.
const MOST_READS: u32 = 1 << 22;

thread_local! {
    /// What this thread has read.
    static READ: RefCell<Pages> = const { RefCell::new(Pages { pages: BTreeMap::new(), reads: 0 }) };
}

#[derive(Default)]
struct Pages {
    pages: BTreeMap<Place, Page>,
    /// How often they have been read.
    reads: u32,
}

/// A descriptor of a process's memory, how often it has been closed, and an address.
type Place = (c_int, u64, u64);

/// A page of a process's memory, or why it could not be read.
type Page = Result<Box<[u8]>, Errno>;

/// Comes between the libdtrace that contains `inside` and what it reads of processes.
///
/// # Errors
/// The library does not call the functions that this module replaces.
///
/// # Safety
/// No other thread may be calling into the library.
pub(super) unsafe fn come_between(inside: usize) -> io::Result<()> {
    // SAFETY: the caller guarantees it, and libdtrace is opened with RTLD_NOW. The types are those of the C library's
    // functions.
    unsafe {
        // Without these two, what is read would stay for ever.
        called_function::intercept(inside, c"pthread_kill", &KILL, wakes)?;
        called_function::intercept(inside, c"pread64", &PREAD, reads)?;
        called_function::intercept(inside, c"readlink", &READLINK, reads_link)
    }
}

/// Forgets what this thread has read: the process may change now.
pub(super) fn forget() {
    // A thread that ends has nothing to forget.
    let _ = READ.try_with(|read| read.take());
}

/// Forgets what any thread has read through a descriptor that is being closed.
pub(super) fn forget_closed(descriptor: c_int) {
    if let Some(times) = CLOSED.lock().get_mut(&descriptor) {
        *times += 1;
    }
}

/// Takes the place of `pthread_kill` for libdtrace, which wakes the threads of processes with it.
unsafe extern "C" fn wakes(thread: libc::pthread_t, signal: c_int) -> c_int {
    forget();
    match KILL.get() {
        // SAFETY: it is the caller's call.
        Some(next) => unsafe { next(thread, signal) },
        None => libc::ESRCH,
    }
}

/// Takes the place of `pread64` for libdtrace, which reads only the memory of processes with it.
unsafe extern "C" fn reads(descriptor: c_int, buffer: *mut c_void, size: usize, at: i64) -> isize {
    // It is set before this function's address is.
    let Some(next) = PREAD.get() else { return -1 };
    if size == 0 {
        return 0;
    }
    let Ok(address) = u64::try_from(at) else {
        Errno::EINVAL.set();
        return -1;
    };
    let page = |at: u64| {
        let mut page = vec![0; PAGE].into_boxed_slice();
        let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the buffer has room for so many bytes.
        match unsafe { next(descriptor, page.as_mut_ptr().cast(), PAGE, at) } {
            read if read.cast_unsigned() == PAGE => Ok(page),
            // The memory of a process that has ended is empty.
            0 => Err(Errno::ESRCH),
            // The last page of a file that is shorter.
            read if read > 0 => Err(Errno::EIO),
            _ => Err(Errno::last()),
        }
    };
    // SAFETY: the caller's buffer has room for so many bytes. They may be uninitialized, so they are written first.
    let buffer = unsafe {
        buffer.write_bytes(0, size);
        std::slice::from_raw_parts_mut(buffer.cast::<u8>(), size)
    };
    let closed = *CLOSED.lock().entry(descriptor).or_default();
    let read = || {
        let memory = (descriptor, closed);
        let read = READ.try_with(|read| read.borrow_mut().read(memory, address, buffer, page));
        // The thread is ending.
        read.unwrap_or(Err(Errno::EIO))
    };
    match catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(Errno::EIO)) {
        Ok(read) => read.cast_signed(),
        Err(error) => {
            error.set();
            -1
        }
    }
}

impl Pages {
    /// Reads as pread(2) does: up to the first byte that cannot be read.
    fn read(
        &mut self,
        (descriptor, closed): (c_int, u64),
        address: u64,
        buffer: &mut [u8],
        page: impl Fn(u64) -> Page,
    ) -> Result<usize, Errno> {
        if self.reads >= MOST_READS {
            return Err(Errno::ELOOP);
        }
        self.reads += 1;
        let mut done = 0;
        while done < buffer.len() {
            let at = address.saturating_add(done as u64);
            let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
            let start = at - within as u64;
            let place = (descriptor, closed, start);
            if self.pages.len() >= MOST_PAGES && !self.pages.contains_key(&place) {
                return if done > 0 { Ok(done) } else { Err(Errno::ENOMEM) };
            }
            match self.pages.entry(place).or_insert_with(|| page(start)) {
                Ok(page) => {
                    let wanted = (buffer.len() - done).min(PAGE - within);
                    buffer[done..done + wanted].copy_from_slice(&page[within..within + wanted]);
                    done += wanted;
                }
                Err(error) => return if done > 0 { Ok(done) } else { Err(*error) },
            }
        }
        Ok(done)
    }
}

/// Takes the place of `readlink` for libdtrace.
unsafe extern "C" fn reads_link(path: *const c_char, buffer: *mut c_char, size: usize) -> isize {
    let Some(next) = READLINK.get() else { return 0 };
    // SAFETY: it is the caller's call.
    unsafe { next(path, buffer, size) }.max(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    /// Memory that has this byte everywhere below an address.
    fn memory(byte: u8, end: u64) -> impl Fn(u64) -> Page {
        move |at| {
            if at < end { Ok(vec![byte; PAGE].into_boxed_slice()) } else { Err(Errno::EIO) }
        }
    }

    #[test]
    fn what_has_been_read_stays_as_it_is() {
        let mut pages = Pages::default();
        let mut bytes = [0; 8];
        assert_eq!(pages.read((3, 0), 4096, &mut bytes, memory(1, 8192)), Ok(8));
        assert_eq!(bytes, [1; 8]);
        // The rest of the page belongs to what has been read: a list's element lies in a page or two.
        assert_eq!(pages.read((3, 0), 8000, &mut bytes, memory(2, 8192)), Ok(8));
        assert_eq!(bytes, [1; 8]);
        assert_eq!(pages.read((4, 0), 8000, &mut bytes, memory(2, 8192)), Ok(8));
        assert_eq!(bytes, [2; 8]);
        // It has been closed, and opened for another process.
        assert_eq!(pages.read((3, 1), 8000, &mut bytes, memory(3, 8192)), Ok(8));
        assert_eq!(bytes, [3; 8]);
    }

    #[test]
    fn what_could_not_be_read_cannot_be_read_later() {
        let mut pages = Pages::default();
        let mut bytes = [0; 8];
        assert_eq!(pages.read((3, 0), 8192, &mut bytes, memory(1, 8192)), Err(Errno::EIO));
        assert_eq!(pages.read((3, 0), 8192, &mut bytes, memory(1, 16_384)), Err(Errno::EIO));
    }

    #[test]
    fn a_read_goes_on_to_the_first_page_that_is_missing() {
        let mut pages = Pages::default();
        let mut bytes = [0; 4096];
        assert_eq!(pages.read((3, 0), 4090, &mut bytes[..12], memory(1, 8192)), Ok(12));
        assert_eq!(pages.read((3, 0), 8186, &mut bytes[..12], memory(1, 8192)), Ok(6));
        assert_eq!(
            pages.read((3, 0), u64::MAX, &mut bytes[..12], memory(1, 8192)),
            Err(Errno::EIO)
        );
        assert_eq!(pages.read((3, 0), 4096, &mut [], memory(1, 8192)), Ok(0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes long")]
    fn a_list_without_end_does_not_fill_the_memory() {
        let mut pages = Pages::default();
        let small = |_| Ok(vec![0; PAGE].into_boxed_slice());
        let mut read = |page: usize| pages.read((3, 0), (page * PAGE) as u64, &mut [0; 8], small);
        assert!((0..MOST_PAGES).all(|page| read(page) == Ok(8)));
        assert_eq!(read(MOST_PAGES), Err(Errno::ENOMEM));
        assert_eq!(read(0), Ok(8));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes long")]
    fn a_list_that_leads_back_to_itself_ends() {
        let mut pages = Pages::default();
        let mut read = || pages.read((3, 0), 0, &mut [0; 8], memory(0, 8192));
        assert!((0..MOST_READS).all(|_| read() == Ok(8)));
        assert_eq!(read(), Err(Errno::ELOOP));
    }

    /// Buffers are allocated to the byte.
    #[test]
    #[cfg_attr(miri, ignore = "files, and calls of the C library")]
    fn buffers_are_filled_to_their_last_byte_and_no_further() {
        let memory: Vec<u8> = (0..3 * PAGE).map(|at| (at % 251) as u8).collect();
        let mut file = crate::stream::unnamed::unnamed_file().expect("a file");
        file.write_all(&memory).expect("it can be written");
        let _ = PREAD.set(libc::pread64);
        for (at, size) in
            [(0, 1), (1, 8), (PAGE - 1, 1), (PAGE - 3, 8), (5, 2 * PAGE), (PAGE, PAGE)]
        {
            let mut buffer = vec![0u8; size].into_boxed_slice();
            // SAFETY: the buffer has room for so many bytes.
            let read = unsafe {
                reads(file.as_raw_fd(), buffer.as_mut_ptr().cast(), size, at.cast_signed() as i64)
            };
            assert_eq!(read, size.cast_signed(), "{at}");
            assert!(*buffer == memory[at..at + size], "{at}");
        }
        // The end of the file is in the middle of the buffer, and before it.
        for (at, expected) in [(3 * PAGE - 2, 2), (3 * PAGE, -1)] {
            let mut buffer = vec![0u8; 8].into_boxed_slice();
            // SAFETY: as above.
            let read = unsafe {
                reads(file.as_raw_fd(), buffer.as_mut_ptr().cast(), 8, at.cast_signed() as i64)
            };
            assert_eq!(read, expected, "{at}");
        }
        forget();
    }

    #[test]
    #[cfg_attr(miri, ignore = "files, and calls of the C library")]
    fn links_are_read_into_buffers_of_any_size_and_none_is_an_empty_path() {
        let _ = READLINK.set(libc::readlink);
        let exe = std::fs::read_link("/proc/self/exe").expect("there is one");
        let exe = exe.as_os_str().as_encoded_bytes();
        for size in [1, 2, exe.len(), exe.len() + 1] {
            let mut buffer = vec![0u8; size].into_boxed_slice();
            // SAFETY: the buffer has room for so many bytes, and the path ends in NUL.
            let read =
                unsafe { reads_link(c"/proc/self/exe".as_ptr(), buffer.as_mut_ptr().cast(), size) };
            let expected = &exe[..size.min(exe.len())];
            assert_eq!(read.cast_unsigned(), expected.len());
            assert_eq!(&buffer[..expected.len()], expected);
        }
        let mut buffer = vec![0u8; 8].into_boxed_slice();
        // SAFETY: as above.
        let read = unsafe { reads_link(c"/no/such".as_ptr(), buffer.as_mut_ptr().cast(), 8) };
        assert_eq!(read, 0);
    }
}
