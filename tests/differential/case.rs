//! What does a case of the corpus say: command line, files, and what of the output to compare?
//!
//! A case is a text file `cases/NAME.case`: first lines `# …` that say what it pins, then
//! `key: value` lines, then the files that it needs, each behind a line `--- PATH`:
//!
//! ```text
//! # An explicit width pads on the left.
//! args: -q -s script.d 42
//! --- script.d
//! BEGIN { printf("[%5d]\n", $1); exit(0); }
//! ```
//!
//! Keys: `args` (split at blanks, quotes as in a shell, `{pid}` is the process of `process`),
//! `env` (`NAME=value`), `normalise` (see [`Normalisation`]), `show` (files whose content is
//! compared as well), `process` (a command that runs meanwhile), `compare: live` (the output
//! depends on the machine: it is not recorded, dtrace(1) runs each time).

use std::path::{Path, PathBuf};

use crate::normalise::Normalisation;

/// One case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// The stem of its file.
    pub(crate) name: String,
    /// What it pins.
    pub(crate) about: String,
    /// The arguments behind the program's name.
    pub(crate) args: Vec<String>,
    /// Variables of the program's environment.
    pub(crate) env: Vec<(String, String)>,
    /// What is taken out of the output besides CPUs and probe ids.
    pub(crate) normalise: Vec<Normalisation>,
    /// Files to compare, in the directory that the program runs in.
    pub(crate) show: Vec<String>,
    /// A command that runs as long as the program does.
    pub(crate) process: Option<Vec<String>>,
    /// Whether the output depends on the machine.
    pub(crate) live: bool,
    /// The files that the program finds in its working directory.
    pub(crate) files: Vec<(PathBuf, String)>,
}

impl Case {
    /// Reads every case of a directory, in the order of their names.
    pub(crate) fn all(directory: &Path) -> Result<Vec<Case>, String> {
        let entries = std::fs::read_dir(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
        paths.sort();
        paths
            .iter()
            .map(|it| Case::read(it).map_err(|e| format!("{}: {e}", it.display())))
            .collect()
    }

    fn read(path: &Path) -> Result<Case, String> {
        if path.extension().is_none_or(|it| it != "case") {
            return Err("not a case".into());
        }
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Case::parse(name, &text)
    }

    fn parse(name: String, text: &str) -> Result<Case, String> {
        let mut case = Case { name, ..Case::default() };
        let mut arguments = None;
        for line in text.split_inclusive('\n') {
            if let Some(path) = line.strip_prefix("--- ") {
                case.files.push((path.trim_end().into(), String::new()));
            } else if let Some((_, content)) = case.files.last_mut() {
                content.push_str(line);
            } else if let Some(about) = line.strip_prefix("# ") {
                case.about.push_str(about);
            } else {
                let (key, value) = line.trim_end().split_once(':').ok_or("a line without a key")?;
                let value = value.trim_start();
                match key {
                    "args" => arguments = Some(words(value)?),
                    "env" => {
                        let (name, value) = value.split_once('=').ok_or("env without `=`")?;
                        case.env.push((name.into(), value.into()));
                    }
                    "normalise" => {
                        let names = value.split(", ");
                        case.normalise = names.map(str::parse).collect::<Result<_, _>>()?;
                    }
                    "show" => case.show = words(value)?,
                    "process" => case.process = Some(words(value)?),
                    "compare" if value == "live" => case.live = true,
                    _ => return Err(format!("unknown line {line:?}")),
                }
            }
        }
        case.args = arguments.ok_or("no `args`")?;
        if case.about.is_empty() {
            return Err("it does not say what it pins".into());
        }
        Ok(case)
    }
}

/// Splits at blanks; single and double quotes keep blanks, and have no escapes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("an open quote in {text:?}"));
    }
    words.extend(word);
    Ok(words)
}
