//! Does decoding a frame survive any bytes? The input is the body of one frame.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| dtrace_consumer::fuzzing::frame(body));
