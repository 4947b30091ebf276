//! Does every test of the workspace run?
//!
//! A function that no list names is dead code, which the compiler reports. But one with `#[test]` in a file
//! without Rust's own harness is left out in silence.

use std::fs;
use std::path::Path;

#[test]
fn a_file_has_either_a_list_of_tests_or_the_attribute() {
    let consumer = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a directory");
    let workspace = consumer.parent().expect("a directory");
    let mut seen = 0;
    for directory in [consumer.join("tests"), workspace.join("tests")] {
        for entry in fs::read_dir(&directory).expect("it can be read").flatten() {
            if entry.path().extension().is_none_or(|it| it != "rs") {
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("it can be read");
            let has_list = text.contains("live_tests! {") || text.contains("harness::run(");
            let has_attribute = text.contains("#[test]");
            assert!(has_list != has_attribute, "{}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} files");
}
