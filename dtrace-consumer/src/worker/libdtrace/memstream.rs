//! A C stream that collects the text that libdtrace prints.

use std::ffi::{c_char, c_void};
use std::ptr;

/// A stream of `open_memstream(3)`, which is rewound after each read.
pub(super) struct Memstream {
    file: *mut libc::FILE,
    /// The C library stores the buffer's address and length here. Their own addresses must not change, hence
    /// the box.
    buffer: Box<(*mut c_char, usize)>,
}

impl Memstream {
    pub(super) fn open() -> Option<Memstream> {
        let mut buffer = Box::new((ptr::null_mut(), 0));
        // SAFETY: both pointers stay valid while the stream is open, because the value that closes it owns
        // the box.
        let file = unsafe { libc::open_memstream(&raw mut buffer.0, &raw mut buffer.1) };
        (!file.is_null()).then_some(Memstream { file, buffer })
    }

    pub(super) fn file(&self) -> *mut libc::FILE {
        self.file
    }

    /// Returns the number of bytes printed since the last [`rewind`](Memstream::rewind).
    pub(super) fn position(&self) -> usize {
        // SAFETY: the stream is open.
        let position = unsafe {
            libc::fflush(self.file);
            libc::ftello(self.file)
        };
        usize::try_from(position).unwrap_or(0)
    }

    /// Returns the first `n` printed bytes, or all if there are fewer.
    pub(super) fn text(&self, n: usize) -> &[u8] {
        let (start, length) = *self.buffer;
        if start.is_null() || n > length {
            return &[];
        }
        // SAFETY: after fflush (in `position`) the buffer holds `length` initialised bytes. It moves only
        // when libdtrace prints again. libdtrace runs on this thread only, so not while this borrow of `self`
        // is in use.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), n) }
    }

    pub(super) fn rewind(&self) {
        // SAFETY: the stream is open.
        unsafe { libc::fseeko(self.file, 0, libc::SEEK_SET) };
    }
}

impl Drop for Memstream {
    fn drop(&mut self) {
        // SAFETY: the stream is open. The C library allocated the buffer, which the caller must free after
        // closing.
        unsafe {
            libc::fclose(self.file);
            libc::free(self.buffer.0.cast::<c_void>());
        }
    }
}
