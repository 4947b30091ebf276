//! Does replay survive any recording? The closures read every value.
//!
//! The lowest bit of the first byte is the mode, the rest is the recording.
#![no_main]

use dtrace_consumer::aggregation::Mode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [mode, recording @ ..] = input else { return };
    let mode = if mode & 1 == 0 { Mode::Cumulative } else { Mode::Delta };
    let result = dtrace_consumer::fuzzing::replay(recording, mode, &|value| {
        serde_json::to_string(&value).expect("every value serialises");
    });
    if let Err(failure) = result {
        let panicked = matches!(failure.error, dtrace_consumer::Error::Panicked { .. });
        assert!(!panicked, "{failure}");
    }
});
