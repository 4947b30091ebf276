//! Does each test exist that the page on reliability names, is each file of tests on the page or in a list of others, and
//! are there as many bad inputs as the page states?

use std::collections::BTreeSet;
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

const PAGE: &str = include_str!("../docs/reliability.md");

/// The files of tests that the page does not name, by what they are about.
const ELSEWHERE: [(&str, &[&str]); 5] = [
    (
        "what sessions, queries and replays deliver: the documentation of the crate states it",
        &[
            "aggregations.rs",
            "libraries.rs",
            "lookups.rs",
            "orders.rs",
            "printed_numbers.rs",
            "records.rs",
            "strings.rs",
            "usdt_objects.rs",
            "user_symbols.rs",
            "faults/types.rs",
            "tests/stock_kernel.rs",
            "tests/streams.rs",
            "tests/usdt.rs",
        ],
    ),
    (
        "the words of errors and warnings",
        &["complaints.rs", "names_in_errors.rs", "sentences.rs", "faults/tracer.rs"],
    ),
    (
        "the examples: their pages state what they do",
        &[
            "tests/flame.rs",
            "tests/ipc_benchmark.rs",
            "tests/lab.rs",
            "tests/notebook.rs",
            "tests/syscall_rates.rs",
            "tests/tcp_latency.rs",
            "tests/tcp_segments.rs",
            "tests/unsupported_options.rs",
        ],
    ),
    (
        "how the code is built, and how fast it is",
        &["kernel_map_calls.rs", "layers.rs", "tests/unsafe_code.rs"],
    ),
    ("no tests", &["faults/main.rs", "faults/stage.rs"]),
];

/// The kinds of bad inputs: how their constants begin, and what the page calls them.
const KINDS_OF_BAD_INPUTS: [(&str, &str); 8] = [
    ("SCRIPT", "scripts"),
    ("ARGUMENT", "argument of a script"),
    ("OPTION", "options"),
    ("NUMBER", "numbers"),
    ("COMMAND", "commands"),
    ("LIBRAR", "files as libdtrace"),
    ("WORKER", "programs as workers"),
    ("RECORDING", "files as recordings"),
];

/// Returns the names of the Rust files in a directory, each behind `prefix`.
fn sources(directory: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(file(directory)).expect("the directory exists").flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    names.filter(|it| it.ends_with(".rs")).map(|it| format!("{prefix}{it}")).collect()
}

/// Returns the files that contain tests, as the page names them.
fn files_of_tests() -> BTreeSet<String> {
    let mut files: BTreeSet<String> = sources("tests/", "tests/").into_iter().collect();
    files.extend(sources("", ""));
    for entry in fs::read_dir(file("")).expect("the directory exists").flatten() {
        // Other directories have what several files of tests, or one, use.
        if entry.path().join("main.rs").exists() {
            let name = entry.file_name().into_string().expect("text");
            files.extend(sources(&name, &format!("{name}/")));
        }
    }
    files
}

#[test]
fn every_file_of_tests_is_on_the_page_or_has_its_place_elsewhere() {
    let on_page: BTreeSet<String> =
        named(PAGE).into_iter().map(|(path, _)| path.to_owned()).collect();
    let elsewhere: BTreeSet<String> =
        ELSEWHERE.iter().flat_map(|(_, files)| *files).map(|it| (*it).to_owned()).collect();
    let files = files_of_tests();
    assert!(files.len() > 80, "{files:?}");
    let missing: Vec<_> =
        files.iter().filter(|it| !on_page.contains(*it) && !elsewhere.contains(*it)).collect();
    assert!(
        missing.is_empty(),
        "docs/reliability.md does not name {missing:?}: add a row for the promise, or list the file in ELSEWHERE"
    );
    let stale: Vec<_> =
        elsewhere.iter().filter(|it| on_page.contains(*it) || !files.contains(*it)).collect();
    assert!(stale.is_empty(), "these are on the page, or do not exist: {stale:?}");
}

/// Returns the constants in a file that are bad inputs: their names without `BAD_`, and how many inputs each is. The
/// length of a table is in its type, so the compiler has checked it.
fn bad_inputs(source: &str) -> Vec<(&str, usize)> {
    let constants = source.split("const BAD_").skip(1);
    let parsed = constants.filter_map(|text| {
        let (name, rest) = text.split_once(": ")?;
        let (kind, _) = rest.split_once(" =")?;
        let length = match kind.strip_prefix('[') {
            Some(table) => table.rsplit_once("; ")?.1.strip_suffix(']')?.parse().ok()?,
            None => 1,
        };
        Some((name, length))
    });
    let parsed: Vec<_> = parsed.collect();
    assert_eq!(parsed.len(), source.matches("const BAD_").count(), "{parsed:?}");
    parsed
}

#[test]
fn the_page_states_how_many_bad_inputs_there_are() {
    let row = PAGE.lines().find(|line| line.starts_with("| bad inputs")).expect("a row");
    let sources: Vec<String> = files_of_tests()
        .iter()
        .filter(|it| *it != "tests/reliability.rs")
        .map(|it| fs::read_to_string(file(it)).expect("text"))
        .collect();
    let inputs: Vec<_> = sources.iter().flat_map(|source| bad_inputs(source)).collect();
    let mut counted = 0;
    for (beginning, name) in KINDS_OF_BAD_INPUTS {
        let of_kind = inputs.iter().filter(|(constant, _)| constant.starts_with(beginning));
        let count = of_kind.map(|(_, length)| length).sum::<usize>();
        let stated = format!(" {count} {name}");
        assert!(row.contains(&stated), "the page does not state `{stated}`: {row}");
        counted += count;
    }
    assert_eq!(counted, inputs.iter().map(|(_, length)| length).sum::<usize>(), "{inputs:?}");
}

#[test]
fn every_test_that_the_page_names_exists() {
    let named = named(PAGE);
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
