//! Does decoding a message to the worker survive any bytes? The input is the body of one message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| dtrace_consumer::fuzzing::command(body));
