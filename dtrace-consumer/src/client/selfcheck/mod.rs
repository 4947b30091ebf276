//! Does a libdtrace that is not known have the structures that this version expects?
//!
//! A self-check is a few ordinary sessions with scripts whose answers are predicted ([`questions`]). Their workers load
//! the library although its version is not known: that is what they are for, and nothing else depends on them. If a
//! worker crashes or delivers invalid data, the library differs. If one hangs, is killed, or a call fails, the check
//! decides nothing. Otherwise its [`answers`] are [compared](compare) with the predicted ones, and the first difference
//! is named.

mod answers;
mod compare;
mod questions;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dtrace_locate::locate::Libdtrace;

use self::answers::{Answers, of_list, of_mistake, of_probes, of_session, of_symbol, of_type};
use self::compare::{first_difference, unexpected};
use self::questions::{QUESTIONS, Question, Questions};
use super::admitted::Admitted;
use super::patience::SILENCE_LIMIT;
use super::preflight::require_host;
use super::settings::{Access, Settings};
use super::system::kernel_symbols;
use super::{inquiry, run};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::loss::LossPolicy;
use crate::data::outcome::EndedBy;
use crate::data::script::Script;
use crate::data::sentences::INVALID_DATA;
use crate::decode::deadline::Watch;
use crate::decode::delivery::Delivery;
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::stream::job::Purpose;
use crate::verdict::Verdict;

/// How long the tracing of a check may take. It takes about a second on an idle machine.
const LIMIT: Duration = SILENCE_LIMIT;

/// Why a check is undecided that was aborted.
pub(super) const CUT_SHORT: &str = "the session was asked to end before the self-check was over (allow more time, or run `dtrace-worker verify` first)";

/// Why a check is undecided whose worker was silent. The user cannot set its limits.
const HUNG: &str =
    "the worker did not answer in time: it was stopped, libdtrace hangs, or the machine is slow";

/// The result of a self-check.
#[derive(Debug)]
pub(crate) enum Finding {
    /// The library answers as predicted, or not.
    Decided {
        verdict: Verdict,
        /// How many answers were compared.
        answers: usize,
        took: Duration,
    },
    /// Another check may find something else: a call has failed, or a worker could not be started, hung or was killed.
    Undecided(String),
}

impl Finding {
    /// Returns the verdict, if there is one. It is worth keeping.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        match self {
            Finding::Decided { verdict, .. } => Some(verdict),
            Finding::Undecided(_) => None,
        }
    }
}

/// Why a part of a check did not end with the predicted answers.
enum Unlike {
    Differs(String),
    Undecided(String),
}

/// Checks a library. `worker` is the worker's program, by default this process's own. The check is aborted when `ending`
/// is asked for.
pub(crate) fn check(library: &Libdtrace, worker: Option<&Path>, ending: &Ending) -> Finding {
    if let Err(missing) = require_host() {
        return Finding::Undecided(missing.to_string());
    }
    let own = Arc::new(Ending::default());
    let aborted = Arc::clone(&own);
    ending.attach(move |_| aborted.ask(Reason::Abort));
    let finding = run_check(library, worker, &own);
    ending.detach();
    if own.is_aborted() {
        return Finding::Undecided(CUT_SHORT.to_owned());
    }
    finding
}

fn run_check(library: &Libdtrace, worker: Option<&Path>, ending: &Arc<Ending>) -> Finding {
    let began = Instant::now();
    let access = Access {
        worker: worker.map(Path::to_owned),
        admitted: Some(Arc::new(library.clone())),
        under_check: Some(Arc::clone(ending)),
        ..Access::default()
    };
    let settings = Settings { access, ..Settings::default() };
    let questions = &QUESTIONS;
    let parts = [trace, list, look_up_types, look_up_symbols, make_mistakes];
    let result = parts
        .into_iter()
        .try_fold(0, |answers, part| part(&settings, questions).map(|more| answers + more));
    let decided = |verdict, answers| Finding::Decided { verdict, answers, took: began.elapsed() };
    match result {
        Ok(answers) => decided(Verdict::Matches, answers),
        Err(Unlike::Differs(what)) => decided(Verdict::Differs(what), 0),
        Err(Unlike::Undecided(why)) => Finding::Undecided(why),
    }
}

/// Traces, which gives most of the answers. Returns their number.
fn trace(settings: &Settings, questions: &Questions) -> Result<usize, Unlike> {
    let clauses = questions.clauses.iter().map(|question| question.ask);
    let script =
        clauses.fold(questions.declarations.to_owned(), |script, clause| script + clause + "\n");
    let own = |(name, value): &(&str, Option<&str>)| (name.to_string(), value.map(str::to_owned));
    let settings = Settings {
        scripts: vec![Script::from(script)],
        options: questions.options.iter().map(own).collect(),
        delivery: Delivery {
            losses: LossPolicy::Count,
            deadline: Some(LIMIT),
            ..Delivery::default()
        },
        ..settings.clone()
    };
    let ending = settings.access.under_check.clone().unwrap_or_default();
    let predicted = questions.clauses.iter().chain(questions.session);
    let mut answers = Answers::default();
    let watch = Watch::start(LIMIT, &ending).map_err(|error| unlike(&error))?;
    let result = run::run(&settings, None, &mut answers, &ending, || ());
    drop(watch);
    let given = answers.lines();
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(failure) => {
            let answers = given.len();
            return Err(match (unlike(&failure.error), unexpected(predicted, &given)) {
                (Unlike::Differs(what), None) => {
                    Unlike::Differs(format!("{what}, after {answers} answers as predicted"))
                }
                (Unlike::Differs(what) | Unlike::Undecided(what), Some(answer)) => {
                    Unlike::Differs(format!("{answer}; then {what}"))
                }
                (undecided, None) => undecided,
            });
        }
    };
    let given: Vec<String> = given.into_iter().chain(of_session(&outcome)).collect();
    let number = given.len();
    let is_wrong = unexpected(predicted.clone(), &given).is_some();
    match first_difference(predicted, given) {
        None => Ok(number),
        // The answers that are missing may only be late.
        Some(answer) if outcome.ended_by == EndedBy::Deadline && !is_wrong => {
            Err(Unlike::Undecided(format!("it did not end within {LIMIT:?}; {answer}")))
        }
        Some(answer) => Err(Unlike::Differs(answer)),
    }
}

fn list(settings: &Settings, questions: &Questions) -> Result<usize, Unlike> {
    let patterns = questions.probes.iter().map(|question| question.ask.to_owned()).collect();
    let purpose = Purpose::List { patterns, describe: true };
    let probes = inquiry::list(Admitted::of(settings), purpose).map_err(|error| unlike(&error))?;
    compared(questions.probes, of_probes(&probes))
}

fn look_up_types(settings: &Settings, questions: &Questions) -> Result<usize, Unlike> {
    let names = questions.types.iter().map(|question| question.ask.to_owned()).collect();
    let found = inquiry::look_up_types(Admitted::of(settings), Purpose::Types { names });
    let found = found.map_err(|error| unlike(&error))?;
    compared(questions.types, found.iter().map(|it| of_type(it.as_ref())).collect())
}

fn look_up_symbols(settings: &Settings, questions: &Questions) -> Result<usize, Unlike> {
    let names = questions.symbols.iter().map(|question| question.ask.to_owned()).collect();
    let purpose = Purpose::Lookup { names, addresses: Vec::new() };
    let found =
        inquiry::look_up(Admitted::of(settings), purpose).map_err(|error| unlike(&error))?;
    let known = known_symbols(settings, &found)?;
    let lines = found.iter().map(|it| of_symbol(it.as_ref(), &known)).collect();
    compared(questions.symbols, lines)
}

/// Returns names with their addresses: the kernel's own list or, where only libdtrace has it, what it finds at the
/// addresses of these symbols.
fn known_symbols(
    settings: &Settings,
    found: &[Option<KernelSymbol>],
) -> Result<Vec<(String, u64)>, Unlike> {
    let listed = kernel_symbols();
    if !listed.is_empty() {
        return Ok(of_list(&listed));
    }
    let addresses: Vec<u64> = found.iter().flatten().map(|symbol| symbol.address).collect();
    let purpose = Purpose::Lookup { names: Vec::new(), addresses: addresses.clone() };
    let back = inquiry::look_up(Admitted::of(settings), purpose).map_err(|error| unlike(&error))?;
    let named = back.into_iter().zip(addresses);
    Ok(named.filter_map(|(symbol, address)| Some((symbol?.name, address))).collect())
}

/// Has scripts compiled that do not compile.
fn make_mistakes(settings: &Settings, questions: &Questions) -> Result<usize, Unlike> {
    let mut answers = Vec::new();
    for question in questions.mistakes {
        let scripts = vec![Script::from(question.ask)];
        let settings = Settings { scripts, ..settings.clone() };
        match inquiry::check(Admitted::of(&settings)) {
            Err(Error::Compile(error)) => answers.push(of_mistake(&error)),
            Err(error) => return Err(unlike(&error)),
            Ok(_) => answers.push("no error".to_owned()),
        }
    }
    compared(questions.mistakes, answers)
}

fn compared(questions: &[Question], given: Vec<String>) -> Result<usize, Unlike> {
    let number = given.len();
    match first_difference(questions, given) {
        None => Ok(number),
        Some(answer) => Err(Unlike::Differs(answer)),
    }
}

/// Returns what a session's failure says about the library. Whatever else than the library may have caused it decides
/// nothing: the system, a slow machine, or whoever stopped or killed the worker.
fn unlike(error: &Error) -> Unlike {
    match error {
        Error::Stream { .. } => Unlike::Differs(error.to_string()),
        Error::Libdtrace { message, .. } if message.starts_with(INVALID_DATA) => {
            Unlike::Differs(error.to_string())
        }
        Error::WorkerDied { status, .. } if is_crash(status) => Unlike::Differs(error.to_string()),
        Error::WorkerSilent { .. } | Error::Deadline { .. } => Unlike::Undecided(HUNG.to_owned()),
        _ => Unlike::Undecided(error.to_string()),
    }
}

/// Returns whether a worker died by its own fault. Others may kill it: an administrator, or the kernel when memory runs
/// out.
fn is_crash(status: &str) -> bool {
    const CRASHES: [&str; 5] = ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"];
    CRASHES.iter().any(|signal| status.contains(signal))
}
