//! Does every test of the workspace run?
//!
//! A function that no list names is dead code, which the compiler reports. But one with `#[test]` in a file
//! without Rust's own harness is left out in silence.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a test: its modules are in a folder of its name.
fn files_of(entry: PathBuf) -> Vec<PathBuf> {
    if !entry.is_dir() {
        return vec![entry];
    }
    let files = fs::read_dir(&entry).expect("it can be read").flatten();
    files.map(|file| file.path()).collect()
}

#[test]
fn a_file_has_either_a_list_of_tests_or_the_attribute() {
    let consumer = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a directory");
    let workspace = consumer.parent().expect("a directory");
    let mut seen = 0;
    for directory in [consumer.join("tests"), workspace.join("tests")] {
        for entry in fs::read_dir(&directory).expect("it can be read").flatten() {
            let entry = entry.path();
            // A folder without `main.rs` belongs to a file beside it.
            let is_test =
                entry.extension().is_some_and(|it| it == "rs") || entry.join("main.rs").is_file();
            if !is_test || entry.ends_with("build.rs") {
                continue;
            }
            let text: String = files_of(entry.clone())
                .iter()
                .map(|file| fs::read_to_string(file).expect("it can be read"))
                .collect();
            let has_list = text.contains("live_tests! {") || text.contains("harness::run(");
            let has_attribute = text.contains("#[test]");
            assert!(has_list != has_attribute, "{}", entry.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} files");
}
