//! The body of one message to the worker.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| dtrace_consumer::fuzzing::command(body));
