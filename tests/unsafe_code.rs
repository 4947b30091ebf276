//! Has each file with unsafe code a row in the table of CONTRIBUTING.md, and does each file in that table exist?

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../CONTRIBUTING.md");

/// Where unsafe code may be. What only tests use is not listed, except the library in libdtrace's place.
const PLACES: [&str; 3] = ["dtrace-sys/src", "dtrace-consumer/src", "dtrace-consumer/stand-in"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Returns the files and directories of the table, as paths in the workspace.
fn listed() -> Vec<PathBuf> {
    let (_, table) = PAGE.split_once("\n## Unsafe code\n").expect("the section");
    let (_, rows) = table.split_once("|---|").expect("the table");
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(paths).collect()
}

/// Returns the paths in the first cell of a row. A name without a directory is beside the first path.
fn paths(cell: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        let path = match paths.first().and_then(|first| first.parent()) {
            Some(directory) if !name.trim_end_matches('/').contains('/') => directory.join(name),
            _ if PLACES.iter().any(|place| name.starts_with(place)) => name.into(),
            _ if name.starts_with("libdtrace/") => {
                Path::new("dtrace-consumer/src/worker").join(name)
            }
            _ => Path::new("dtrace-consumer/src").join(name),
        };
        paths.push(path);
    }
    paths
}

/// Returns the files with unsafe code in a directory, as paths in the workspace.
fn with_unsafe_code(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).expect("the directory exists").flatten();
    let found = entries.flat_map(|entry| {
        let path = directory.join(entry.file_name());
        if entry.path().is_dir() {
            return with_unsafe_code(&path);
        }
        // A file `tests.rs` is a part of the module beside it.
        let is_source =
            path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs");
        let has = is_source && has_unsafe_code(&fs::read_to_string(entry.path()).expect("text"));
        Vec::from_iter(has.then_some(path))
    });
    found.collect()
}

/// Comments and types of functions may have the word, too.
fn has_unsafe_code(source: &str) -> bool {
    let forms = ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe(", "unsafe extern \"C\" {"];
    let mut code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.any(|line| forms.iter().any(|form| line.contains(form)))
}

#[test]
fn each_file_with_unsafe_code_has_a_row() {
    let listed = listed();
    let files: Vec<_> =
        PLACES.iter().flat_map(|place| with_unsafe_code(Path::new(place))).collect();
    assert!(files.len() > 40, "{files:?}");
    let missing: Vec<_> =
        files.iter().filter(|file| !listed.iter().any(|it| file.starts_with(it))).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md has no row for {missing:?}");
}

#[test]
fn each_file_in_the_table_exists() {
    let listed = listed();
    assert!(listed.len() > 40, "{listed:?}");
    let stale: Vec<_> = listed.iter().filter(|it| !root().join(it).exists()).collect();
    assert!(stale.is_empty(), "CONTRIBUTING.md names {stale:?}");
}
