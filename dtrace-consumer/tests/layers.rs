//! Do the arrows between the crate's files only run down?
//!
//! `layers.txt` says which layer may use which. Files must not use each other in a circle, except a module
//! and what is below it. Tests are left out. With `--nocapture` the test draws what it found.

#[path = "layers/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use source::{Module, Sources};

/// What each layer may use.
type Table = BTreeMap<String, BTreeSet<String>>;

fn table() -> Table {
    read(include_str!("../layers.txt"))
}

fn read(text: &str) -> Table {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let layer = |line: &str| {
        // The lowest ones use no other.
        let (layer, others) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let others = others.split_whitespace().map(str::to_owned).collect();
        (layer.to_owned(), others)
    };
    lines.map(layer).collect()
}

/// The layer of a module: the longest name in the table that it begins with.
fn layer_of<'t>(module: &str, table: &'t Table) -> Option<&'t str> {
    let module = if module.is_empty() { "lib" } else { module };
    let layers = table.keys().map(String::as_str);
    layers.filter(|layer| module == *layer || is_below(layer, module)).max_by_key(|l| l.len())
}

/// Arrows that the table does not allow, each with the names that are taken; and how many arrows there are
/// from layer to layer.
fn upwards(sources: &Sources, table: &Table) -> (Vec<String>, BTreeMap<(String, String), usize>) {
    let mut refused = Vec::new();
    let mut drawn = BTreeMap::new();
    for module in sources.modules.keys() {
        for (other, names) in sources.used_by(module) {
            let (from, to) = (layer_of(module, table), layer_of(&other, table));
            if from.is_some() && from == to {
                continue;
            }
            let (from, to) = (from.unwrap_or(module), to.unwrap_or(&other));
            *drawn.entry((from.to_owned(), to.to_owned())).or_default() += 1;
            if !table.get(from).is_some_and(|others| others.contains(to)) {
                let names = names.into_iter().collect::<Vec<_>>().join(", ");
                refused.push(format!("{module} -> {other}: {names}"));
            }
        }
    }
    (refused, drawn)
}

/// Whether module `b` lies below module `a`.
fn is_below(a: &str, b: &str) -> bool {
    b.strip_prefix(a).is_some_and(|rest| rest.starts_with("::"))
}

/// Whether one of two modules lies below the other.
fn are_kin(a: &str, b: &str) -> bool {
    is_below(a, b) || is_below(b, a)
}

/// Modules that use each other in a circle.
fn circles(sources: &Sources) -> Vec<BTreeSet<Module>> {
    let arrows: BTreeMap<&Module, BTreeSet<Module>> = sources
        .modules
        .keys()
        .map(|module| {
            let used = sources.used_by(module).into_keys();
            (module, used.filter(|other| !are_kin(module, other)).collect())
        })
        .collect();
    let reached = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut pending: Vec<&Module> = arrows[from].iter().collect();
        while let Some(module) = pending.pop() {
            if reached.insert(module.clone()) {
                pending.extend(arrows.get(module).into_iter().flatten());
            }
        }
        reached
    };
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        arrows.keys().map(|module| (*module, reached(module))).collect();
    let circle = |module: &Module| -> BTreeSet<Module> {
        let back = |other: &&Module| reach.get(other).is_some_and(|r| r.contains(module));
        reach[module].iter().filter(back).cloned().collect()
    };
    let mut circles: Vec<BTreeSet<Module>> =
        arrows.keys().map(|module| circle(module)).filter(|circle| !circle.is_empty()).collect();
    circles.sort();
    circles.dedup();
    circles
}

#[test]
fn arrows_only_run_down_and_no_files_form_a_circle() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.modules.len() > 50, "most of the source was not found");
    let table = table();
    let (refused, drawn) = upwards(&sources, &table);
    let mut drawing = String::new();
    for ((from, to), arrows) in &drawn {
        writeln!(drawing, "{from:>17} -> {to:<17} {arrows:3} arrows").expect("a string takes all");
    }
    println!("{} files\n{drawing}", sources.modules.len());
    assert!(refused.is_empty(), "not allowed by layers.txt:\n{}", refused.join("\n"));
    let circles = circles(&sources);
    assert!(circles.is_empty(), "files use each other in a circle: {circles:#?}");
}

#[test]
fn contributors_read_the_same_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CONTRIBUTING.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let shown = page.split("```text\n").find(|part| part.starts_with("data:"));
    let shown = shown.and_then(|part| part.split("```").next()).expect("the table");
    assert_eq!(read(shown), table());
    for layer in table().keys().filter(|layer| !["lib", "fuzzing"].contains(&layer.as_str())) {
        assert!(
            page.contains(&format!("| `{layer}` | ")),
            "the page does not say what {layer} answers"
        );
    }
}

#[test]
fn an_arrow_upwards_and_a_circle_are_found() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("lib.rs", "mod api;\nmod data;\n");
    write("api/mod.rs", "mod thread;\npub(crate) use thread::Thread;\n");
    write("api/thread.rs", "use crate::data::{one::One, two};\npub(crate) struct Thread;\n");
    write("data/mod.rs", "pub(crate) mod one;\npub(crate) mod two;\n");
    write("data/one.rs", "use super::two::Two; // crate::api::Nothing\npub(crate) struct One;\n");
    write("data/two.rs", "#[cfg(test)]\nuse crate::api::X;\npub(crate) struct Two;\n");
    let sources = Sources::read(root.path());
    assert_eq!(upwards(&sources, &table()).0, [""; 0]);
    assert!(circles(&sources).is_empty());

    write("data/two.rs", "pub(crate) struct Two(super::one::One);\nuse crate::api::Thread;\n");
    let sources = Sources::read(root.path());
    assert_eq!(upwards(&sources, &table()).0, ["data::two -> api::thread: Thread"]);
    let circle = ["api::thread", "data::one", "data::two"].map(str::to_owned);
    assert_eq!(circles(&sources), [BTreeSet::from(circle)]);
}
