//! Do description, cut and anonymisation survive any recording? What they make of a whole recording must be one.
//!
//! The first byte is the number of firings that the cut leaves out, the rest is the recording.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [skip, recording @ ..] = input else { return };
    dtrace_consumer::fuzzing::changed(recording, *skip);
});
