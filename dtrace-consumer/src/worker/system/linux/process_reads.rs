//! How can libdtrace read of a running process without being misled?
//!
//! Two things in 2.0.7 rely on a process that does not change meanwhile. Either can write to memory that
//! does not belong to it.
//!
//! libdtrace follows the dynamic linker's list of libraries once to count them, and once more to store them in as
//! many places. If the process loads a library in between, it stores one too many. So this module has what
//! libdtrace has read of a process's memory stay as it is until libdtrace waits for the process, or tells it to go
//! on. libdtrace does neither while it follows the list.
//!
//! libdtrace takes the length of a process's executable's path for a valid one even if the process has none, or
//! has ended. So this module has the path be empty then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use nix::errno::Errno;

use super::called_function;

type PRead = unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize;
type ReadLink = unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> isize;

static PREAD: OnceLock<PRead> = OnceLock::new();
static READLINK: OnceLock<ReadLink> = OnceLock::new();

/// How much is remembered at a time. Each page of the smallest size is readable as a whole, or not at all.
const PAGE: usize = 4096;

/// How many pages are remembered at most: 64 MiB. A dynamic linker's lists have less than a thousandth of that.
const MOST_PAGES: usize = 16_384;

thread_local! {
    /// What this thread has read. libdtrace has a thread for each process that it is attached to.
    static READ: RefCell<Pages> = const { RefCell::new(Pages(BTreeMap::new())) };
}

/// The pages that have been read, by the descriptor of the process's memory and the address.
#[derive(Default)]
struct Pages(BTreeMap<(c_int, u64), Page>);

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
    let pread = |place: *mut usize| {
        // SAFETY: the place is writable, and holds the address of the C library's `pread64`, which has this type:
        // libdtrace is opened with RTLD_NOW, so the loader has filled it in. The replacement has the same type.
        unsafe {
            let next: PRead = std::mem::transmute(*place);
            if PREAD.set(next).is_ok() {
                *place = reads as *const () as usize;
            }
        }
    };
    let readlink = |place: *mut usize| {
        // SAFETY: as above, for `readlink`.
        unsafe {
            let next: ReadLink = std::mem::transmute(*place);
            if READLINK.set(next).is_ok() {
                *place = reads_link as *const () as usize;
            }
        }
    };
    // SAFETY: the caller guarantees it.
    unsafe {
        called_function::replace(inside, c"pread64", pread)?;
        called_function::replace(inside, c"readlink", readlink)
    }
}

/// Forgets what this thread has read: the process may change now.
pub(super) fn forget() {
    // A thread that ends has nothing to forget.
    let _ = READ.try_with(|read| read.take());
}

/// Forgets what this thread has read through a descriptor: the next one with its number may be another process's.
pub(super) fn forget_closed(descriptor: c_int) {
    let _ = READ.try_with(|read| read.borrow_mut().0.retain(|(of, _), _| *of != descriptor));
}

/// Takes the place of `pread64` for libdtrace, which reads only the memory of processes with it.
unsafe extern "C" fn reads(descriptor: c_int, buffer: *mut c_void, size: usize, at: i64) -> isize {
    // It is set before this function's address is.
    let Some(next) = PREAD.get() else { return -1 };
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
    // SAFETY: the caller's buffer has room for so many bytes. They may be uninitialized, so they become so first.
    let buffer = unsafe {
        buffer.write_bytes(0, size);
        std::slice::from_raw_parts_mut(buffer.cast::<u8>(), size)
    };
    let read = || READ.try_with(|read| read.borrow_mut().read(descriptor, address, buffer, page));
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(Ok(read))) => read.cast_signed(),
        Ok(Ok(Err(error))) => {
            error.set();
            -1
        }
        // The thread is ending, or there is no memory for the page.
        Ok(Err(_)) | Err(_) => {
            Errno::EIO.set();
            -1
        }
    }
}

impl Pages {
    /// Reads as pread(2) does: up to the first byte that cannot be read.
    fn read(
        &mut self,
        descriptor: c_int,
        address: u64,
        buffer: &mut [u8],
        page: impl Fn(u64) -> Page,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.saturating_add(done as u64);
            let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
            let start = at - within as u64;
            let is_known = self.0.contains_key(&(descriptor, start));
            if !is_known && self.0.len() >= MOST_PAGES {
                return if done > 0 { Ok(done) } else { Err(Errno::ENOMEM) };
            }
            match self.0.entry((descriptor, start)).or_insert_with(|| page(start)) {
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
        assert_eq!(pages.read(3, 4096, &mut bytes, memory(1, 8192)), Ok(8));
        assert_eq!(bytes, [1; 8]);
        // The rest of the page belongs to what has been read: a list's element lies in a page or two.
        assert_eq!(pages.read(3, 8000, &mut bytes, memory(2, 8192)), Ok(8));
        assert_eq!(bytes, [1; 8]);
        assert_eq!(pages.read(4, 8000, &mut bytes, memory(2, 8192)), Ok(8));
        assert_eq!(bytes, [2; 8]);
    }

    #[test]
    fn what_could_not_be_read_cannot_be_read_later() {
        let mut pages = Pages::default();
        let mut bytes = [0; 8];
        assert_eq!(pages.read(3, 8192, &mut bytes, memory(1, 8192)), Err(Errno::EIO));
        assert_eq!(pages.read(3, 8192, &mut bytes, memory(1, 16_384)), Err(Errno::EIO));
    }

    #[test]
    fn a_read_goes_on_to_the_first_page_that_is_missing() {
        let mut pages = Pages::default();
        let mut bytes = [0; 4096];
        assert_eq!(pages.read(3, 4090, &mut bytes[..12], memory(1, 8192)), Ok(12));
        assert_eq!(pages.read(3, 8186, &mut bytes[..12], memory(1, 8192)), Ok(6));
        assert_eq!(pages.read(3, u64::MAX, &mut bytes[..12], memory(1, 8192)), Err(Errno::EIO));
        assert_eq!(pages.read(3, 4096, &mut [], memory(1, 8192)), Ok(0));
    }

    #[test]
    fn a_list_without_end_does_not_fill_the_memory() {
        let mut pages = Pages::default();
        let small = |_| Ok(vec![0; PAGE].into_boxed_slice());
        let mut read = |page: usize| pages.read(3, (page * PAGE) as u64, &mut [0; 8], small);
        assert!((0..MOST_PAGES).all(|page| read(page) == Ok(8)));
        assert_eq!(read(MOST_PAGES), Err(Errno::ENOMEM));
        assert_eq!(read(0), Ok(8));
    }
}
