//! Which clauses were accepted, but cannot fire?

use std::collections::BTreeSet;
use std::io;

use super::libdtrace::Compiling;
use super::system::{built_upon, may_be_built};
use crate::data::probe::Probe;
use crate::data::warning::{Warning, WarningKind};
use crate::stream::compile_flags::ZERO_MATCHES;
use crate::stream::job::Job;

/// The name of the macro in messages.
const TARGET: &str = "$target";

/// Returns a warning for each clause that cannot fire. `uncorrected` says why the places of probes on
/// functions cannot be corrected.
pub(super) fn warnings(
    compiling: &Compiling,
    job: &Job,
    clauses: &[Probe],
    uncorrected: Option<&io::Error>,
) -> Vec<Warning> {
    let mut warnings = Vec::from_iter(target_is_zero(job));
    let mut seen = BTreeSet::new();
    for clause in clauses {
        if seen.insert(clause.to_string()) {
            warnings.extend(
                matches_nothing(compiling, job, clause)
                    .or_else(|| lacks_what_it_is_built_upon(compiling, clause))
                    .or_else(|| is_misplaced(clause, uncorrected?)),
            );
        }
    }
    warnings
}

fn warning(subject: impl Into<String>, message: impl Into<String>) -> Warning {
    Warning::new(WarningKind::NeverFires, subject, message)
}

/// Without a process libdtrace replaces `$target` by 0, and a predicate that compares it is never true.
fn target_is_zero(job: &Job) -> Option<Warning> {
    let no_process = job.target.is_none() && job.processes.is_empty();
    let used = no_process && job.scripts.iter().any(|script| script.uses_macro("target"));
    used.then(|| {
        warning(
            TARGET,
            "it is 0, because the session has no command and grabs no process: a clause that compares it \
             with `pid` never fires (trace a command with `run_synchronous`, or call `grab`)",
        )
    })
}

fn matches_nothing(compiling: &Compiling, job: &Job, clause: &Probe) -> Option<Warning> {
    // Without the flag the script would not have compiled.
    let possible = job.compile_flags & ZERO_MATCHES != 0;
    (possible && matching(compiling, &clause.to_string())?.is_empty()).then(|| {
        warning(
            clause.to_string(),
            "it matches no probe, and never fires: libdtrace does not look for probes again once \
             tracing is on (start the session when the probes exist, or check the description)",
        )
    })
}

fn lacks_what_it_is_built_upon(compiling: &Compiling, clause: &Probe) -> Option<Warning> {
    if !may_be_built(&clause.provider, &clause.name) {
        return None;
    }
    let probes = matching(compiling, &clause.to_string())?;
    let mut lacking = BTreeSet::new();
    for probe in &probes {
        let upon = built_upon(&probe.provider, &probe.name);
        let lacks = |upon: &&str| matching(compiling, upon).is_some_and(|found| found.is_empty());
        if upon.is_empty() || !upon.iter().all(lacks) {
            return None;
        }
        lacking.extend(upon);
    }
    (!lacking.is_empty()).then(|| {
        let message = format!(
            "it never fires: libdtrace builds it on {}, which this kernel does not have \
             (use a kernel with function tracing, or another provider)",
            some_of(&lacking)
        );
        warning(clause.to_string(), message)
    })
}

/// Returns the first few of a clause's probes, which may be many.
fn some_of(probes: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 3;
    let shown = probes.iter().copied().take(SHOWN).collect::<Vec<_>>().join(", ");
    match probes.len().saturating_sub(SHOWN) {
        0 => shown,
        others => format!("{shown} and {others} more"),
    }
}

fn is_misplaced(clause: &Probe, error: &io::Error) -> Option<Warning> {
    // Such providers end in the number of the process.
    clause.provider.ends_with(|last: char| last.is_ascii_digit()).then(|| {
        let message = format!(
            "it may never fire: libdtrace misplaces probes of programs that LLD has linked, and the \
             places cannot be corrected: {error} (link with -z separate-loadable-segments)"
        );
        warning(clause.to_string(), message)
    })
}

/// Returns the probes that match a description; `None` if libdtrace does not say.
fn matching(compiling: &Compiling, description: &str) -> Option<Vec<Probe>> {
    let mut probes = Vec::new();
    let listed = compiling.list(Some(description), false, &mut |it| probes.push(it.probe));
    listed.ok().map(|()| probes)
}
