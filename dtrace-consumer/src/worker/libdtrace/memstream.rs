//! A C stream that collects the text that libdtrace prints.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

/// A stream of `open_memstream(3)`, which is rewound after each read.
pub(super) struct Memstream {
    file: *mut libc::FILE,
    /// Where the C library stores the buffer's address and length, whenever something is printed.
    /// It keeps this address, so this must not be a `Box`: Rust may assume that nobody else writes
    /// to what a box owns.
    buffer: NonNull<Buffer>,
}

/// A stream's buffer.
struct Buffer {
    start: *mut c_char,
    length: usize,
}

impl Memstream {
    pub(super) fn open() -> Option<Memstream> {
        let buffer = Box::new(Buffer { start: ptr::null_mut(), length: 0 });
        let buffer = NonNull::from(Box::leak(buffer));
        let place = buffer.as_ptr();
        // SAFETY: both addresses are within an allocation that `drop` frees after it has closed the stream. The
        // stream is not made if this fails.
        let file =
            unsafe { libc::open_memstream(&raw mut (*place).start, &raw mut (*place).length) };
        if file.is_null() {
            // SAFETY: the allocation is that of the box, and nobody else has its address.
            drop(unsafe { Box::from_raw(place) });
            return None;
        }
        Some(Memstream { file, buffer })
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
        // SAFETY: the allocation lives as long as this value, and the C library writes to it only while
        // something is printed.
        let Buffer { start, length } = unsafe { self.buffer.read() };
        if start.is_null() || n > length {
            return &[];
        }
        // SAFETY: after fflush (in `position`) the buffer holds `length` initialised bytes. It moves only
        // when libdtrace prints again. libdtrace runs on this thread only, so not while this borrow of `self`
        // is in use.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), n) }
    }

    /// Replaces everything printed from `start` on.
    pub(super) fn replace_from(&self, start: usize, text: &[u8]) {
        let start = libc::off_t::try_from(start).unwrap_or(libc::off_t::MAX);
        // SAFETY: the stream is open, and the text has this length.
        unsafe {
            libc::fseeko(self.file, start, libc::SEEK_SET);
            libc::fwrite(text.as_ptr().cast::<c_void>(), 1, text.len(), self.file);
        }
    }

    pub(super) fn rewind(&self) {
        // SAFETY: the stream is open.
        unsafe { libc::fseeko(self.file, 0, libc::SEEK_SET) };
    }
}

impl Drop for Memstream {
    fn drop(&mut self) {
        // SAFETY: the stream is open. Closing it stores the buffer's address for the last time. The C library
        // allocated the buffer, which the caller must free after closing, and `open` allocated its place.
        unsafe {
            libc::fclose(self.file);
            let buffer = Box::from_raw(self.buffer.as_ptr());
            libc::free(buffer.start.cast::<c_void>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(stream: &Memstream, text: &str) {
        for byte in text.bytes() {
            // SAFETY: the stream is open.
            unsafe { libc::fputc(byte.into(), stream.file()) };
        }
    }

    #[test]
    fn a_stream_that_is_moved_keeps_its_text() {
        let stream = Memstream::open().expect("there is memory");
        print(&stream, "before");
        // To another place on the heap, as part of another value.
        let moved = Box::new((stream, 0));
        assert_eq!(moved.0.text(moved.0.position()), b"before");
        // So much that the buffer moves too.
        let long = "x".repeat(100_000);
        print(&moved.0, &long);
        let position = moved.0.position();
        assert_eq!(position, "before".len() + long.len());
        assert_eq!(&moved.0.text(position)["before".len()..], long.as_bytes());
        moved.0.rewind();
        print(&moved.0, "b");
        assert_eq!(moved.0.text(moved.0.position()), b"b");
    }

    #[test]
    fn the_end_of_the_text_can_be_replaced() {
        let stream = Memstream::open().expect("there is memory");
        print(&stream, "one, two");
        for (end, whole) in [("2", "one, 2"), ("twenty", "one, twenty"), ("", "one, ")] {
            stream.position();
            stream.replace_from(5, end.as_bytes());
            assert_eq!(stream.text(stream.position()), whole.as_bytes());
        }
        print(&stream, "3");
        assert_eq!(stream.text(stream.position()), b"one, 3");
    }
}
