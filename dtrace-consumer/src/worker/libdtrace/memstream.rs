//! A C stream that collects the text that libdtrace prints.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

/// When the text of earlier firings is discarded, in bytes.
const KEPT: usize = 64 << 10;

/// A stream of `open_memstream(3)`. It has the text of one firing after another, and is rewound now and then: to seek
/// takes as long as to print a number.
pub(super) struct Memstream {
    file: *mut libc::FILE,
    /// Where the text begins that is wanted.
    start: Cell<usize>,
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

/// Makes printing to a stream not lock it. Only the C library of Linux can.
///
/// # Safety
/// The stream is open, and only this thread uses it.
#[cfg(target_os = "linux")]
unsafe fn print_without_lock(file: *mut libc::FILE) {
    unsafe extern "C" {
        // Of <stdio_ext.h>.
        fn __fsetlocking(file: *mut libc::FILE, how: std::ffi::c_int) -> std::ffi::c_int;
    }
    /// The value of `FSETLOCKING_BYCALLER`.
    const BY_CALLER: std::ffi::c_int = 2;
    // SAFETY: the caller guarantees it.
    unsafe { __fsetlocking(file, BY_CALLER) };
}

/// Does nothing: printing to a stream locks it.
///
/// # Safety
/// None.
#[cfg(not(target_os = "linux"))]
unsafe fn print_without_lock(_: *mut libc::FILE) {}

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
        // SAFETY: the stream is open. Only the thread that has opened it uses it, and calls libdtrace, which prints to it.
        unsafe { print_without_lock(file) };
        Some(Memstream { file, start: Cell::new(0), buffer })
    }

    pub(super) fn file(&self) -> *mut libc::FILE {
        self.file
    }

    /// Begins a text. What was printed before does not belong to it. libdtrace must not seek until the next one.
    pub(super) fn begin(&self) {
        let printed = self.printed();
        self.start.set(printed);
        if printed > KEPT {
            self.rewind();
        }
    }

    /// Begins a text at the beginning of the stream, where libdtrace may seek to, as for `ftruncate()`.
    pub(super) fn rewind(&self) {
        // SAFETY: the stream is open.
        unsafe { libc::fseeko(self.file, 0, libc::SEEK_SET) };
        self.start.set(0);
    }

    /// Returns the number of bytes printed since [`begin`](Memstream::begin).
    pub(super) fn length(&self) -> usize {
        self.printed().saturating_sub(self.start.get())
    }

    /// Returns the number of bytes printed since the stream was rewound.
    fn printed(&self) -> usize {
        // SAFETY: the stream is open. The allocation of the buffer's length lives as long as this value, and the C
        // library writes to it only within `fflush`, or when libdtrace prints.
        unsafe {
            libc::fflush(self.file);
            (*self.buffer.as_ptr()).length
        }
    }

    /// Returns the first `n` bytes printed since [`begin`](Memstream::begin); none if there are fewer. They were there
    /// when [`length`](Memstream::length) was called last.
    pub(super) fn text(&self, n: usize) -> &[u8] {
        // SAFETY: the allocation lives as long as this value, and the C library writes to it only while
        // something is printed.
        let Buffer { start, length } = unsafe { self.buffer.read() };
        let end = self.start.get().saturating_add(n);
        if start.is_null() || end > length {
            return &[];
        }
        // SAFETY: after fflush (in `printed`) the buffer holds `length` initialised bytes. It moves only
        // when libdtrace prints again. libdtrace runs on this thread only, so not while this borrow of `self`
        // is in use.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>().add(self.start.get()), n) }
    }

    /// Replaces everything printed from the byte at `from` on, counted from [`begin`](Memstream::begin).
    pub(super) fn replace_from(&self, from: usize, text: &[u8]) {
        let start = libc::off_t::try_from(self.start.get().saturating_add(from))
            .unwrap_or(libc::off_t::MAX);
        // SAFETY: the stream is open, and the text has this length.
        unsafe {
            libc::fseeko(self.file, start, libc::SEEK_SET);
            libc::fwrite(text.as_ptr().cast::<c_void>(), 1, text.len(), self.file);
        }
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
        assert_eq!(moved.0.text(moved.0.length()), b"before");
        // So much that the buffer moves too.
        let long = "x".repeat(100_000);
        print(&moved.0, &long);
        let length = moved.0.length();
        assert_eq!(length, "before".len() + long.len());
        assert_eq!(&moved.0.text(length)["before".len()..], long.as_bytes());
        moved.0.rewind();
        print(&moved.0, "b");
        assert_eq!(moved.0.text(moved.0.length()), b"b");
    }

    #[test]
    fn the_end_of_the_text_can_be_replaced() {
        let stream = Memstream::open().expect("there is memory");
        print(&stream, "one, two");
        for (end, whole) in [("2", "one, 2"), ("twenty", "one, twenty"), ("", "one, ")] {
            stream.length();
            stream.replace_from(5, end.as_bytes());
            assert_eq!(stream.text(stream.length()), whole.as_bytes());
        }
        print(&stream, "3");
        assert_eq!(stream.text(stream.length()), b"one, 3");
    }

    #[test]
    fn one_text_after_another_has_only_what_was_printed_for_it() {
        let stream = Memstream::open().expect("there is memory");
        for number in 0..10_000 {
            // What nobody asks for is in no text.
            print(&stream, "x");
            stream.begin();
            assert_eq!(stream.length(), 0);
            print(&stream, "number ");
            let start = stream.length();
            print(&stream, "is to be replaced");
            stream.length();
            stream.replace_from(start, number.to_string().as_bytes());
            let text = format!("number {number}");
            assert_eq!(stream.text(stream.length()), text.as_bytes());
            assert!(stream.printed() < 2 * KEPT);
        }
    }
}
