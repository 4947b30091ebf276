//! Does each test exist that the page on reliability names?

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the file that the page means by a path.
fn file(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    if path.starts_with("tests/") {
        root.join(path)
    } else {
        root.join("dtrace-consumer/tests").join(path)
    }
}

/// Returns what stands between backquotes and names a test: a file, and a function or none.
fn named(page: &str) -> Vec<(&str, Option<&str>)> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| match text.split_once("::") {
            Some((file, test)) => file.ends_with(".rs").then_some((file, Some(test))),
            None => text.ends_with(".rs").then_some((text, None)),
        })
        .collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = include_str!("../docs/reliability.md");
    let named = named(page);
    assert!(named.len() > 30, "the page names {} tests", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|(path, test)| {
            let source = fs::read_to_string(file(path)).unwrap_or_default();
            match test {
                Some(test) => !source.contains(&format!("fn {test}(")),
                None => source.is_empty(),
            }
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
