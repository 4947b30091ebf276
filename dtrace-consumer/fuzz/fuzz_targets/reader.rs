//! Does a stream that arrives in pieces read the same as one that arrives at once?
//!
//! The first byte of the input is the size of the pieces, the second sets the frame limit, and the rest
//! is the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [piece, limit, stream @ ..] = input else { return };
    let limit = usize::from(*limit) * 64 + 1;
    let in_pieces = dtrace_consumer::fuzzing::reader(stream, usize::from(*piece), limit);
    let at_once = dtrace_consumer::fuzzing::reader(stream, usize::MAX, limit);
    assert_eq!(in_pieces, at_once, "the result depends on the size of the pieces");
});
