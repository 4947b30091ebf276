//! Which D libraries does a script need?
//!
//! libdtrace compiles every D library that it finds before the first script, which takes longer than all
//! other steps of the start. A script needs a library only if it uses a name that the library defines, or
//! translated arguments (`args[]`), whose types libraries define, too. So only those libraries are left
//! visible. If a script then fails to compile, the consumer tries again with all of them, and only that
//! result counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::script::{Directives, Script, code_of, words_of};
use crate::data::session_info::OmittedLibrary;

/// Returns for each library file below `directory` whether to leave it visible.
pub(crate) fn wanted(
    directory: &Path,
    scripts: &[Script],
    omit: &[OmittedLibrary],
    all: bool,
) -> impl Fn(&Path) -> bool {
    let omitted: BTreeSet<String> = omit.iter().map(|o| o.file.clone()).collect();
    let needed = if all { None } else { needed(directory, scripts) };
    move |file: &Path| {
        let name = name_of(file);
        !omitted.contains(&name) && needed.as_ref().is_none_or(|needed| needed.contains(&name))
    }
}

/// Returns for each script which of the omitted libraries define a name that it uses, or are needed by those that
/// do. Reads the libraries.
pub(crate) fn missed(
    directory: &Path,
    scripts: &[Script],
    omit: &[OmittedLibrary],
    preprocessed: bool,
) -> Vec<Vec<String>> {
    let directives = if preprocessed { Directives::Keep } else { Directives::Remove };
    let missed_by = |script: &Script| {
        let code = code_of(&String::from_utf8_lossy(&script.text), directives);
        let words: BTreeSet<String> = words_of(&code).map(str::to_owned).collect();
        // What a file uses that the preprocessor inserts is not known.
        let any = preprocessed && words.contains("include");
        let needed = defining(directory, &words);
        let missed = |file: &String| any || needed.contains(file);
        omit.iter().map(|it| it.file.clone()).filter(missed).collect()
    };
    if omit.is_empty() { Vec::new() } else { scripts.iter().map(missed_by).collect() }
}

/// Returns the names of the libraries that the scripts need; `None` means all.
fn needed(directory: &Path, scripts: &[Script]) -> Option<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for script in scripts {
        let text = String::from_utf8_lossy(&script.text);
        // Translated arguments may need any library, and preprocessing may produce any text.
        if has_directives(&text) || words_of(&text).any(needs_all) {
            return None;
        }
        words.extend(words_of(&code_of(&text, Directives::Remove)).map(str::to_owned));
    }
    Some(defining(directory, &words))
}

/// Returns the libraries that define one of the words, and those that they depend on.
fn defining(directory: &Path, words: &BTreeSet<String>) -> BTreeSet<String> {
    let mut libraries: BTreeMap<String, Library> = BTreeMap::new();
    for file in d_libraries(directory) {
        let text = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        libraries.entry(name_of(&file)).or_default().read(&text);
    }
    let mut needed: BTreeSet<String> = BTreeSet::new();
    let mut pending: Vec<&String> = libraries
        .iter()
        .filter(|(_, library)| !library.defines.is_disjoint(words))
        .map(|(name, _)| name)
        .collect();
    while let Some(name) = pending.pop() {
        if needed.insert(name.clone()) {
            let depends = libraries.get(name).into_iter().flat_map(|library| &library.depends_on);
            pending.extend(depends);
        }
    }
    needed
}

/// Returns whether a script has directives, other than its interpreter and options.
pub(crate) fn has_directives(text: &str) -> bool {
    let mut directives = text.lines().map(str::trim_start).filter(|line| line.starts_with('#'));
    directives.any(|line| !line.starts_with("#!") && !line.starts_with("#pragma D option"))
}

/// Returns whether a word may need any library. Translated arguments do. The subroutines for network
/// addresses make libdtrace abort if their types are missing.
fn needs_all(word: &str) -> bool {
    matches!(word, "args" | "xlate") || word.starts_with("inet_nto") || word == "link_ntop"
}

/// Returns whether a script uses something that libdtrace builds from the kernel's types when tracing starts.
/// libdtrace relies on a D library to have read those types, and that library may be hidden here.
pub(crate) fn needs_kernel_types(scripts: &[Script]) -> bool {
    scripts.iter().any(|script| script.mentions(&["execname", "ppid", "progenyof"]))
}

/// The names that the files of one library, for all kernel versions together, define and depend on.
#[derive(Default)]
struct Library {
    defines: BTreeSet<String>,
    depends_on: BTreeSet<String>,
}

impl Library {
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["#pragma", "D", "depends_on", "library", name] => {
                    self.depends_on.insert(name.to_owned());
                }
                ["#pragma", "D", "binding", _, name] => {
                    self.defines.insert(name.to_owned());
                }
                _ => {}
            }
        }
        let code = without_bodies(&code_of(text, Directives::Remove));
        for statement in code.split(';') {
            let mut words = words_of(statement).skip_while(|w| w.starts_with("pragma"));
            match words.next() {
                // inline type name = …, inline type name[…] = …
                Some("inline") => {
                    let declaration = statement.split(['=', '[']).next().unwrap_or(statement);
                    self.define(words_of(declaration).last());
                }
                Some("typedef") => {
                    let words: Vec<&str> = words.collect();
                    self.define(words.last().copied());
                    // The end of a body: the type is defined here, and not only renamed.
                    if let ["struct" | "union" | "enum", tag, _, ..] = words[..]
                        && statement.contains('}')
                    {
                        self.define(Some(tag));
                    }
                }
                Some("translator") => self.define(words.next()),
                Some("struct" | "union" | "enum") => self.define(words.next()),
                _ => {}
            }
        }
    }

    fn define(&mut self, name: Option<&str>) {
        self.defines.extend(name.map(str::to_owned));
    }
}

/// Returns D code without the text in braces: members and assignments of members.
pub(crate) fn without_bodies(code: &str) -> String {
    let mut depth = 0u32;
    code.chars()
        .filter(|c| {
            depth = match c {
                '{' => depth + 1,
                '}' => depth.saturating_sub(1),
                _ => depth,
            };
            depth == 0
        })
        .collect()
}

/// Returns every D library file below `syslibdir`: `*.d` there and in its folders of kernel versions.
pub(crate) fn d_libraries(syslibdir: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    let is_library = |path: &PathBuf| path.extension().is_some_and(|e| e == "d") && path.is_file();
    let top = list(syslibdir);
    let below = top.iter().filter(|p| p.is_dir()).flat_map(|dir| list(dir));
    top.iter().cloned().chain(below).filter(is_library).collect()
}

fn name_of(file: &Path) -> String {
    PathBuf::from(file).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_and_dependencies_of_a_library_are_found() {
        let mut library = Library::default();
        library.read(
            "#pragma D depends_on library net.d\n\
             #pragma D binding \"1.6.3\" tcp_state_string\n\
             inline string tcp_state_string[int32_t state] = \"x\";\n\
             typedef struct tcpinfo {\n\tint a;\n} tcpinfo_t;\n\
             typedef struct task_struct kthread_t;\n\
             translator csinfo_t < void *p > {\n\ta = 1;\n};\n\
             inline int TCPS_X = 1;\n",
        );
        assert!(library.depends_on.contains("net.d"));
        for name in ["tcp_state_string", "tcpinfo", "tcpinfo_t", "kthread_t", "csinfo_t", "TCPS_X"]
        {
            assert!(library.defines.contains(name), "{name}");
        }
        for name in ["int32_t", "task_struct", "state", "x", "a", "p"] {
            assert!(!library.defines.contains(name), "{name}");
        }
    }
}
