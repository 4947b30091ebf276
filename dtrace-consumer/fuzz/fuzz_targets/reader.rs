//! A stream in pieces: the first byte says of which size, the second how large frames may be; both
//! make the same of it as a reader that has all of it at once.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [piece, limit, stream @ ..] = input else { return };
    let limit = usize::from(*limit) * 64 + 1;
    let in_pieces = dtrace_consumer::fuzzing::reader(stream, usize::from(*piece), limit);
    let at_once = dtrace_consumer::fuzzing::reader(stream, usize::MAX, limit);
    assert_eq!(in_pieces, at_once, "the pieces make a difference");
});
