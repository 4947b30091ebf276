//! A whole recording, to closures that look at everything. The first byte's lowest bit is the mode.
#![no_main]

use dtrace_consumer::aggregation::Mode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [mode, recording @ ..] = input else { return };
    let mode = if mode & 1 == 0 { Mode::Cumulative } else { Mode::Delta };
    let result = dtrace_consumer::fuzzing::replay(recording, mode, &|value| {
        serde_json::to_string(&value).expect("a value is serialised");
    });
    if let Err(failure) = result {
        let panicked = matches!(failure.error, dtrace_consumer::Error::Panicked { .. });
        assert!(!panicked, "{failure}");
    }
});
