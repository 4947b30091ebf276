//! Which modules does a source file name?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path below the crate, as `data::value`; empty for the crate itself.
pub(crate) type Module = String;

/// The source files of a crate, by module, without tests.
pub(crate) struct Sources {
    /// The code of each module, and its file.
    pub(crate) modules: BTreeMap<Module, (PathBuf, String)>,
    /// What each module re-exports: its name there, and where it comes from.
    exports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Sources {
    pub(crate) fn read(root: &Path) -> Sources {
        let mut modules = BTreeMap::new();
        collect(root, &mut Vec::new(), &mut modules);
        let mut sources = Sources { modules, exports: BTreeMap::new() };
        for (module, (_, code)) in &sources.modules {
            let uses = uses(code).into_iter().filter(|(public, _)| *public);
            let names = uses.filter_map(|(_, path)| Some((path.last()?.clone(), path)));
            let named = names.map(|(name, path)| (name, sources.absolute(module, &path)));
            sources.exports.insert(module.clone(), named.collect());
        }
        sources
    }

    /// The modules that a module uses, each with the names that it takes from there.
    pub(crate) fn used_by(&self, module: &str) -> BTreeMap<Module, BTreeSet<String>> {
        let code = &self.modules[module].1;
        let mut used: BTreeMap<Module, BTreeSet<String>> = BTreeMap::new();
        let named = uses(code).into_iter().map(|(_, path)| path).chain(inline_paths(code));
        for path in named {
            let (target, name) = self.resolve(&self.absolute(module, &path));
            if target != module {
                used.entry(target).or_default().insert(name);
            }
        }
        // The crate's root is where everything is anyway.
        used.remove("");
        used
    }

    /// A path from the crate's root.
    fn absolute(&self, module: &str, path: &[String]) -> Vec<String> {
        let mut base: Vec<String> =
            module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest = &path[1..];
            }
            Some("self") => rest = &path[1..],
            Some("super") => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            // Another crate, unless it is a module below this one.
            Some(first) => {
                let child = join(&base, first);
                if !self.modules.contains_key(&child) {
                    return vec!["::".to_owned()];
                }
            }
            None => {}
        }
        base.extend(rest.iter().cloned());
        base
    }

    /// The module that a path leads to, through re-exports, and the name behind it.
    fn resolve(&self, path: &[String]) -> (Module, String) {
        let mut path = path.to_vec();
        for _ in 0..8 {
            if path.first().is_some_and(|first| first == "::") {
                break;
            }
            let depth = (0..=path.len())
                .rev()
                .find(|n| *n == 0 || self.modules.contains_key(&path[..*n].join("::")))
                .unwrap_or(0);
            let (module, name) = (path[..depth].join("::"), path.get(depth));
            let name = name.cloned().unwrap_or_default();
            match self.exports.get(&module).and_then(|names| names.get(&name)) {
                Some(from) if *from != path && from[0] != "::" => {
                    let rest = path[depth + 1..].to_vec();
                    path = [from.clone(), rest].concat();
                }
                _ => return (module, name),
            }
        }
        (String::new(), String::new())
    }
}

fn join(base: &[String], name: &str) -> String {
    base.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("::")
}

fn collect(
    directory: &Path,
    path: &mut Vec<String>,
    modules: &mut BTreeMap<Module, (PathBuf, String)>,
) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for entry in entries {
        let stem = entry.file_stem().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() {
            // Programs beside the library.
            if stem != "bin" {
                path.push(stem);
                collect(&entry, path, modules);
                path.pop();
            }
        } else if entry.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&entry).expect("a source file");
            let module = match stem.as_str() {
                "lib" | "mod" => path.join("::"),
                name => join(path, name),
            };
            modules.insert(module, (entry, without_tests(&code_of(&text))));
        }
    }
    let tests: Vec<Module> = modules.keys().filter(|module| is_test(module)).cloned().collect();
    tests.iter().for_each(|module| drop(modules.remove(module)));
}

/// Modules that are there for tests alone.
fn is_test(module: &str) -> bool {
    let last = module.rsplit("::").next().unwrap_or_default();
    matches!(last, "properties" | "strategies") || module.split("::").any(|part| part == "tests")
}

/// The text without comments, and with empty strings.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line;
        // A `//` in a string is taken for a comment, which can only hide names behind it.
        if let Some(at) = rest.find("//") {
            rest = &rest[..at];
        }
        // For whom something is visible is no use of that module.
        let plain = match (rest.find("pub(in "), rest.find(')')) {
            (Some(from), Some(to)) if from < to => {
                format!("{}pub{}", &rest[..from], &rest[to + 1..])
            }
            _ => rest.to_owned(),
        };
        let mut parts = plain.split('"');
        code.push_str(parts.next().unwrap_or_default());
        for outside in parts.skip(1).step_by(2) {
            code.push_str("\"\"");
            code.push_str(outside);
        }
        code.push('\n');
    }
    code
}

/// The code without what only tests see: items behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(open), end) if end.is_none_or(|end| open < end) => close(item, open),
            (_, Some(end)) => end + 1,
            (_, None) => item.len(),
        };
        rest = &item[end..];
    }
    kept + rest
}

/// Where the brace that is opened at `open` closes.
fn close(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// The paths that `use` items name, and whether they are re-exported.
fn uses(code: &str) -> Vec<(bool, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = &rest[..at];
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        let tree = &rest[at + 4..];
        let end = tree.find(';').unwrap_or(tree.len());
        if line.is_empty() || line.starts_with("pub") {
            let public = line.starts_with("pub");
            expand(&tree[..end], &[], &mut |path| found.push((public, path)));
        }
        rest = &tree[end..];
    }
    found
}

/// Hands each path of a `use` tree to `visit`.
fn expand(tree: &str, prefix: &[String], visit: &mut dyn FnMut(Vec<String>)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        let parts = path.split("::").map(|part| part.trim().to_owned());
        let parts = parts.filter(|part| !part.is_empty() && part != "*" && part != "self");
        return visit(prefix.iter().cloned().chain(parts).collect());
    };
    let stem = tree[..open].split("::").map(|part| part.trim().to_owned());
    let prefix: Vec<String> =
        prefix.iter().cloned().chain(stem.filter(|part| !part.is_empty())).collect();
    let inner = &tree[open + 1..close(tree, open) - 1];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..at].trim();
                if !part.is_empty() {
                    expand(part, &prefix, visit);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Paths from `crate` or `super` within the code.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    code.split(|c| !is_path(c))
        .filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
        .map(|word| word.split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect())
        .collect()
}
