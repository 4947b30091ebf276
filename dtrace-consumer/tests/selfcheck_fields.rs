//! Does the self-check notice a structure of libdtrace that has one field elsewhere?
//!
//! A small library comes between the worker and the real libdtrace. It changes one field of what the real one delivers:
//! the worker reads there what another field has.

use std::fs;
use std::process::Command;

use dtrace_consumer::verify::{self, Verification};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::Prefix;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_library_that_comes_between_and_changes_nothing_is_verified,
        the_first_answer_that_differs_is_named,
    ],
    by_hand: [every_field_that_is_elsewhere_is_noticed],
}

/// A structure's role, its type in `changed.c`, the field that is elsewhere, and the field that is in its place.
type Moved = (&'static str, &'static str, &'static str, &'static str);

const NOTHING: Moved = ("NOTHING", "record", "size", "offset");

const MOVED: &[Moved] = &[
    ("FIRING", "firing", "statement", "cpu"),
    ("FIRING", "firing", "clause", "probe"),
    ("FIRING", "firing", "probe", "clause"),
    ("FIRING", "firing", "cpu", "statement"),
    ("FIRING", "firing", "data", "prefix"),
    ("FIRING", "firing", "flow", "statement"),
    ("FIRING", "firing", "prefix", "handle"),
    ("FIRING", "firing", "indent", "statement"),
    ("HEADER", "header", "size", "speculation"),
    ("CLAUSE", "clause", "number", "references"),
    ("CLAUSE", "clause", "records", "uarg"),
    ("RECORD", "record", "action", "alignment"),
    ("RECORD", "record", "size", "offset"),
    ("RECORD", "record", "offset", "size"),
    ("RECORD", "record", "alignment", "size"),
    ("RECORD", "record", "format", "arg"),
    ("RECORD", "record", "arg", "format"),
    ("PROBE", "probe", "id", "parts"),
    ("PROBE", "probe", "parts[0]", "parts[1]"),
    ("PROBE", "probe", "parts[1]", "parts[0]"),
    ("PROBE", "probe", "parts[2]", "parts[0]"),
    ("PROBE", "probe", "parts[3]", "parts[0]"),
    ("ENTRY", "entry", "aggregation", "key"),
    ("ENTRY", "entry", "key", "data"),
    ("ENTRY", "entry", "data", "key"),
    ("ENTRY", "entry", "by_cpu", "handle"),
    ("AGGREGATION", "aggregation", "name", "key_records"),
    ("AGGREGATION", "aggregation", "id", "flags"),
    ("AGGREGATION", "aggregation", "signature", "normal"),
    ("AGGREGATION", "aggregation", "normal", "signature"),
    ("AGGREGATION", "aggregation", "key_size", "index"),
    ("AGGREGATION", "aggregation", "data_size", "index"),
    ("AGGREGATION", "aggregation", "keys", "key_size"),
    ("AGGREGATION", "aggregation", "key_records", "data_records"),
    ("AGGREGATION", "aggregation", "data_records", "key_records"),
    ("KEY", "record", "size", "offset"),
    ("KEY", "record", "offset", "size"),
    ("KEY", "record", "alignment", "size"),
    ("VALUE", "record", "action", "alignment"),
    ("VALUE", "record", "size", "action"),
    ("VALUE", "record", "offset", "arg"),
    ("DROP", "drop", "cpu", "kind"),
    ("DROP", "drop", "kind", "cpu"),
    ("DROP", "drop", "drops", "message"),
    ("DROP", "drop", "total", "message"),
    ("DROP", "drop", "message", "handle"),
    ("FAULT", "fault", "probe", "clause"),
    ("FAULT", "fault", "action", "offset"),
    ("FAULT", "fault", "offset", "fault"),
    ("FAULT", "fault", "fault", "action"),
    ("FAULT", "fault", "address", "message"),
    ("FAULT", "fault", "message", "clause"),
    ("OPTION", "option", "name", "handle"),
    ("OPTION", "option", "old", "new"),
    ("OPTION", "option", "new", "old"),
    ("STATEMENT", "statement", "clause", "identifier"),
    ("STATEMENT_CLAUSE", "statement_clause", "probe.parts[3]", "probe.parts[0]"),
    ("PROGRAM", "program", "attributes", "matches"),
    ("PROGRAM", "program", "matches", "speculations"),
    ("LISTED", "probe", "parts[0]", "parts[3]"),
    ("LISTED", "probe", "parts[2]", "parts[0]"),
    ("LISTED", "probe", "parts[3]", "parts[0]"),
    ("PROBE_INFO", "probe_info", "attributes", "number"),
    ("PROBE_INFO", "probe_info", "types", "attributes"),
    ("PROBE_INFO", "probe_info", "number", "attributes"),
    ("TYPE", "type", "object", "container"),
    ("TYPE", "type", "container", "object"),
    ("TYPE", "type", "type", "object"),
    ("SYMBOL", "symbol", "value", "name"),
    ("SYMBOL_NAMES", "symbol_names", "object", "name"),
    ("SYMBOL_NAMES", "symbol_names", "name", "object"),
];

/// Fields that the check does not compare. `docs/platforms.md` lists them.
const UNNOTICED: &[Moved] = &[
    ("FAULT", "fault", "cpu", "offset"),
    ("PROGRAM", "program", "generators", "matches"),
    ("KEY", "record", "arg", "size"),
];

/// Returns what `verify` finds about a library with this change.
fn verified(prefix: &Prefix, (which, structure, field, other): Moved) -> Verification {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let directory = prefix.path().join("usr/lib").join(triplet);
    let (library, real) = (directory.join("libdtrace.so.2"), directory.join("libdtrace-real.so"));
    if !real.exists() {
        fs::rename(&library, &real).expect("a link");
    }
    let _ = fs::remove_file(&library);
    let compile = |words: &[&str]| {
        let status = Command::new("cc")
            .current_dir(&directory)
            .args(["-shared", "-fPIC"])
            .args(words)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cc {words:?}");
    };
    // The real library has the name of the one between.
    if !directory.join("named.so").exists() {
        compile(&["-Wl,-soname,libdtrace-real.so", "-o", "named.so", "-x", "c", "/dev/null"]);
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/selfcheck_fields/changed.c");
    let defined =
        [("CHANGED", which), ("STRUCTURE", structure), ("FIELD", field), ("OTHER", other)];
    let defined = defined.map(|(name, value)| format!("-D{name}={value}"));
    // Without a build-id no verdict is kept.
    let mut words = vec![
        "-Wl,--build-id=none,--no-as-needed,-rpath,$ORIGIN",
        "-o",
        "libdtrace.so.2",
        source,
        "named.so",
    ];
    words.extend(defined.iter().map(String::as_str));
    compile(&words);
    let mut options = verify::Options::default();
    options.prefix = Some(prefix.path().to_owned());
    let mut found = None;
    let passed =
        verify::verify(&options, |it| found = Some(it.result.clone())).expect("privileged");
    found.unwrap_or_else(|| panic!("{passed:?}"))
}

fn a_library_that_comes_between_and_changes_nothing_is_verified() {
    let result = verified(&Prefix::new("nothing-elsewhere"), NOTHING);
    assert!(matches!(result, Verification::Matches { .. }), "{result:?}");
}

fn the_first_answer_that_differs_is_named() {
    let changed = ("OPTION", "option", "old", "new");
    let result = verified(&Prefix::new("one-elsewhere"), changed);
    let Verification::Differs { what, .. } = &result else { panic!("{result:?}") };
    assert!(
        what.starts_with("setopt(): expected `option stackindent: unset -> 9`, got "),
        "{what}"
    );
}

fn every_field_that_is_elsewhere_is_noticed() {
    let prefix = Prefix::new("every-elsewhere");
    let noticed =
        |moved: &&Moved| !matches!(verified(&prefix, **moved), Verification::Matches { .. });
    let missed: Vec<&Moved> = MOVED.iter().filter(|moved| !noticed(moved)).collect();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
    let differs =
        |moved: &&Moved| matches!(verified(&prefix, **moved), Verification::Differs { .. });
    let known: Vec<&Moved> = UNNOTICED.iter().filter(differs).collect();
    assert!(known.is_empty(), "noticed after all: {known:?}");
}
