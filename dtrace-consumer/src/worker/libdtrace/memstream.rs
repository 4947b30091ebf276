//! A C stream that collects what libdtrace prints.

use std::ffi::{c_char, c_void};
use std::ptr;

/// A stream made by `open_memstream(3)`, emptied piece by piece.
pub(super) struct Memstream {
    file: *mut libc::FILE,
    /// Where the C library keeps the buffer's address and length; their own addresses must not
    /// change, hence the box.
    buffer: Box<(*mut c_char, usize)>,
}

impl Memstream {
    pub(super) fn open() -> Option<Memstream> {
        let mut buffer = Box::new((ptr::null_mut(), 0));
        // SAFETY: both pointers stay valid for as long as the stream is open: the box lives in the
        // value that closes the stream.
        let file = unsafe { libc::open_memstream(&raw mut buffer.0, &raw mut buffer.1) };
        (!file.is_null()).then_some(Memstream { file, buffer })
    }

    pub(super) fn file(&self) -> *mut libc::FILE {
        self.file
    }

    /// How many bytes have been printed since the last [`rewind`](Memstream::rewind).
    pub(super) fn position(&self) -> usize {
        // SAFETY: the stream is open.
        let position = unsafe {
            libc::fflush(self.file);
            libc::ftello(self.file)
        };
        usize::try_from(position).unwrap_or(0)
    }

    /// The first `n` bytes printed, at most those that there are.
    pub(super) fn text(&self, n: usize) -> &[u8] {
        let (start, length) = *self.buffer;
        if start.is_null() || n > length {
            return &[];
        }
        // SAFETY: after fflush (in `position`) the buffer holds `length` initialised bytes and is not
        // moved before something is printed again, which needs the library to run: not while this
        // borrow of `self` is in use, since libdtrace runs on this thread only.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), n) }
    }

    pub(super) fn rewind(&self) {
        // SAFETY: the stream is open.
        unsafe { libc::fseeko(self.file, 0, libc::SEEK_SET) };
    }
}

impl Drop for Memstream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and the buffer was allocated by the C library for the caller to
        // free after closing.
        unsafe {
            libc::fclose(self.file);
            libc::free(self.buffer.0.cast::<c_void>());
        }
    }
}
