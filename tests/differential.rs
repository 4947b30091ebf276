//! Does the example `dtrace` print what dtrace(1) prints?
//!
//! Each case of `tests/differential/cases` is a test: the example runs on it, and its stdout, its
//! stderr and its exit status must be those of dtrace(1), byte for byte after the normalisations
//! of `normalise.rs`.
//!
//! The variable `DTRACE_DIFFERENTIAL` says what to compare with:
//!
//! | value | |
//! |---|---|
//! | (unset) | the recorded output of dtrace(1), `tests/differential/expected` |
//! | `sample` | the same, but for twenty cases spread over the corpus dtrace(1) itself |
//! | `live` | dtrace(1) itself, for all cases |
//! | `record` | nothing: dtrace(1) runs, three times each, and its output is recorded |
//!
//! If it is unset only some cases run, spread over the corpus; `DTRACE_CONSUMER_TESTS=all` runs all of them.
//!
//! `tests/differential/known.txt` has the cases that may differ, each with the reason; one that
//! has become equal fails, so that the list stays true. `DTRACE_DIFFERENTIAL_PROGRAM` names
//! another program to compare with dtrace(1) instead of the example.

#[path = "differential/case.rs"]
mod case;
#[path = "differential/normalise.rs"]
mod normalise;
#[path = "differential/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use case::Case;
use dtrace_test_support::Need;
use dtrace_test_support::harness::{self, Test};
use libtest_mimic::Failed;
use program::{Program, Result as Run};

/// How many cases `sample` compares with dtrace(1) itself.
const SAMPLE: usize = 20;

/// Of so many cases one runs where those that take long are left out.
const STRIDE: usize = 40;

/// How often a recording has to come out the same.
const RECORDINGS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Recorded,
    Sample,
    Live,
    Record,
}

struct Corpus {
    cases: Vec<Case>,
    known: BTreeMap<String, String>,
    mode: Mode,
    scratch: PathBuf,
    dtrace: OnceLock<Result<Program, String>>,
}

fn main() -> ExitCode {
    let corpus = match Corpus::read() {
        Ok(corpus) => Arc::new(corpus),
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = harness::run(corpus.tests());
    if let Err(error) = fs::remove_dir_all(&corpus.scratch) {
        eprintln!("{}: {error}", corpus.scratch.display());
    }
    conclusion
}

/// The directory of the corpus.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differential")
}

impl Corpus {
    fn read() -> Result<Corpus, String> {
        let mode = match std::env::var("DTRACE_DIFFERENTIAL").as_deref() {
            Err(_) | Ok("") => Mode::Recorded,
            Ok("sample") => Mode::Sample,
            Ok("live") => Mode::Live,
            Ok("record") => Mode::Record,
            Ok(other) => return Err(format!("DTRACE_DIFFERENTIAL={other}: sample, live, record")),
        };
        // Of this process alone: two of them may run at the same time.
        let scratch = format!("differential-{}", std::process::id());
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(scratch);
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        Ok(Corpus {
            cases: Case::all(&corpus().join("cases"))?,
            known: known()?,
            mode,
            scratch,
            dtrace: OnceLock::new(),
        })
    }

    fn tests(self: &Arc<Corpus>) -> Vec<Test> {
        let stride = self.cases.len().div_ceil(SAMPLE).max(1);
        let mut tests = Vec::new();
        for (index, case) in self.cases.iter().enumerate() {
            let live = match self.mode {
                Mode::Live => true,
                Mode::Sample => case.live || index % stride == 0,
                Mode::Recorded | Mode::Record => case.live,
            };
            let (corpus, case) = (Arc::clone(self), case.clone());
            let test = Test::new(case.name.clone(), move || match corpus.mode {
                Mode::Record => corpus.record(&case),
                _ => corpus.compare(&case, live),
            });
            let needs_dtrace = live || self.mode == Mode::Record;
            let needs: &[Need] =
                if needs_dtrace { &[Need::Tracing, Need::Dtrace1] } else { &[Need::Tracing] };
            let test = test.needs(needs);
            let is_left_out = self.mode == Mode::Recorded && index % STRIDE != 0;
            tests.push(if is_left_out { test.long() } else { test });
        }
        if self.mode != Mode::Record {
            let corpus = Arc::clone(self);
            tests.push(Test::new("the_corpus_is_complete", move || corpus.complete()));
            let name = "normalisation_takes_out_what_may_differ_and_nothing_else";
            tests.push(Test::new(name, || normalise::check().map_err(Failed::from)));
        }
        tests
    }

    fn dtrace(&self) -> Result<&Program, Failed> {
        let program = self.dtrace.get_or_init(|| Program::dtrace(&self.scratch));
        program.as_ref().map_err(Failed::from)
    }

    fn record(&self, case: &Case) -> Result<(), Failed> {
        let dtrace = self.dtrace()?;
        let first = dtrace.run(case, &self.scratch)?;
        for _ in 1..RECORDINGS {
            let again = dtrace.run(case, &self.scratch)?;
            if let Some(difference) = first.difference(&again) {
                return Err(format!("dtrace(1) differs from itself:\n{difference}").into());
            }
        }
        if case.live { Ok(()) } else { write_expected(&case.name, &first).map_err(Failed::from) }
    }

    fn compare(&self, case: &Case, live: bool) -> Result<(), Failed> {
        let expected = if live {
            self.dtrace()?.run(case, &self.scratch)?
        } else {
            read_expected(&case.name)?
        };
        let found = Program::example()?.run(case, &self.scratch)?;
        let known = self.known.get(&case.name);
        let standing_in = std::env::var_os("DTRACE_DIFFERENTIAL_PROGRAM").is_some();
        match (expected.difference(&found), known) {
            (None, None) => Ok(()),
            (None, Some(_)) if standing_in => Ok(()),
            (None, Some(reason)) => {
                Err(format!("equal now: take it out of known.txt, where the reason is: {reason}")
                    .into())
            }
            (Some(_), Some(_)) if !standing_in => Ok(()),
            (Some(difference), _) => {
                let about = case.about.trim_end();
                let args = &case.args;
                Err(format!("{about}\narguments: {args:?}\n{difference}").into())
            }
        }
    }

    /// Every case that does not depend on the machine has its recording, and every recording and
    /// every known difference its case.
    fn complete(&self) -> Result<(), Failed> {
        let mut wrong = Vec::new();
        let named = |name: &str| self.cases.iter().find(|it| it.name == name);
        for case in self.cases.iter().filter(|it| !it.live) {
            if !expected_path(&case.name, "out").exists() {
                wrong.push(format!("{}: not recorded", case.name));
            }
        }
        for entry in fs::read_dir(corpus().join("expected"))? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if named(&stem).is_none_or(|it| it.live) {
                wrong.push(format!("{}: recorded, but no such case", path.display()));
            }
        }
        for name in self.known.keys().filter(|it| named(it).is_none()) {
            wrong.push(format!("known.txt: no case {name}"));
        }
        if self.cases.len() < 160 {
            wrong.push(format!("only {} cases", self.cases.len()));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }
}

fn expected_path(name: &str, part: &str) -> PathBuf {
    corpus().join("expected").join(format!("{name}.{part}"))
}

/// Status 0 and an empty stderr have no file.
fn write_expected(name: &str, run: &Run) -> Result<(), String> {
    for (part, text) in run.parts() {
        let path = expected_path(name, part);
        let usual = match part {
            "status" => text == "0",
            "err" => text.is_empty(),
            _ => false,
        };
        let written = if usual {
            fs::remove_file(&path).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        } else {
            fs::write(&path, if part == "status" { format!("{text}\n") } else { text.into() })
        };
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn read_expected(name: &str) -> Result<Run, String> {
    let read = |part| {
        let path = expected_path(name, part);
        fs::read_to_string(&path).map_err(|error| (path, error))
    };
    let optional = |part, usual: &str| match read(part) {
        Err((_, error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(usual.to_owned()),
        other => other,
    };
    let all = || {
        let out = read("out")?;
        let (err, status) = (optional("err", "")?, optional("status", "0")?);
        Ok(Run { out, err, status: status.trim_end().to_owned() })
    };
    all().map_err(|(path, error): (PathBuf, std::io::Error)| {
        format!("{}: {error}; record it with DTRACE_DIFFERENTIAL=record", path.display())
    })
}

/// `name: reason` per line; `#` begins a comment.
fn known() -> Result<BTreeMap<String, String>, String> {
    let path = corpus().join("known.txt");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'))
        .map(|line| {
            let (name, reason) = line
                .split_once(": ")
                .filter(|(_, reason)| !reason.trim().is_empty())
                .ok_or_else(|| format!("known.txt: no reason in {line:?}"))?;
            Ok((name.to_owned(), reason.trim().to_owned()))
        })
        .collect()
}
