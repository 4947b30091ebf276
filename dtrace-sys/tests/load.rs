//! What a user is told when the file to load is not the right one.
#![cfg(all(dtrace_abi = "linux", target_os = "linux"))]

use dtrace_sys::{Library, LoadError};
use std::path::Path;

fn load(file: &Path) -> LoadError {
    // SAFETY: none of the files below is a libdtrace or does anything when it is loaded.
    unsafe { Library::load(Some(file)) }.expect_err("it is no libdtrace")
}

#[test]
fn a_missing_file_is_named_with_what_the_loader_said_and_what_to_do() {
    let file = Path::new("/nonexistent/libdtrace.so.2");
    let error = load(file);
    assert!(matches!(&error, LoadError::Open { file: named, .. } if named == file), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("/nonexistent/libdtrace.so.2"), "{text}");
    assert!(text.contains("No such file"), "{text}");
    assert!(text.contains("install libdtrace"), "{text}");
}

#[test]
fn a_file_that_is_no_library_is_refused_by_the_loader() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = load(&file);
    assert!(matches!(&error, LoadError::Open { file: named, .. } if *named == file), "{error:?}");
}

#[test]
fn a_library_that_is_not_libdtrace_is_told_by_what_it_lacks() {
    let error = load(Path::new("libc.so.6"));
    assert!(
        matches!(&error, LoadError::MissingSymbol { symbol: "_dtrace_version", .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("libc.so.6") && text.contains("_dtrace_version"), "{text}");
}
