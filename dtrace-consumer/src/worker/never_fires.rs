//! Which clauses cannot fire or record wrong names, and which must not be enabled at all?

use std::collections::BTreeSet;
use std::io;

use super::between::{
    built_upon, hidden_addresses, may_be_built, may_be_built_on_functions, silenced_functions,
};
use super::libdtrace::Compiling;
use crate::data::pattern::ProbePattern;
use crate::data::probe::Probe;
use crate::data::warning::{Warning, WarningKind};
use crate::stream::compile_flags::{ENABLES_LATER, ZERO_MATCHES};
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
    warnings.extend(names_are_hidden(job));
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

/// Names of kernel functions are wrong where the kernel hides their addresses.
fn names_are_hidden(job: &Job) -> Option<Warning> {
    const NAMING: [&str; 5] = ["stack", "sym", "func", "mod", "ksym"];
    let setting = hidden_addresses()?;
    job.scripts.iter().any(|script| script.mentions(&NAMING)).then(|| {
        let message = format!(
            "it is 2, so the kernel hides its addresses, and libdtrace gives kernel functions wrong names (run \
             `sysctl {setting}=1`)"
        );
        Warning::new(WarningKind::WrongNames, setting, message)
    })
}

/// Returns why the clauses must not be enabled, if so. While the setting is off, probes on functions of the kernel do
/// not fire, and disabling them makes Linux 6.1 turn off function tracing until it is booted again.
pub(super) fn harm(compiling: &Compiling, clauses: &[Probe]) -> Option<io::Error> {
    let setting = silenced_functions()?;
    let list = |clause: &Probe| matching(compiling, &clause.to_string());
    let clause = clauses.iter().find(|clause| is_on_functions(clause, list))?;
    Some(io::Error::other(format!(
        "`{clause}` would never fire, because {setting} is 0, and disabling it could break the kernel's function \
         tracing (run `sysctl {setting}=1`)"
    )))
}

/// Returns whether probes of a clause are on functions of the kernel, or built upon some that are. `list` lists the
/// probes of a clause whose provider is a pattern.
fn is_on_functions(clause: &Probe, list: impl Fn(&Probe) -> Option<Vec<Probe>>) -> bool {
    let is_function = |probe: &Probe| ["fbt", "rawfbt"].contains(&probe.provider.as_str());
    let is_pattern = clause.provider.is_empty() || clause.provider.contains(['*', '?', '[', '\\']);
    is_function(clause)
        || ProbePattern::parse(&format!("{}:::{}", clause.provider, clause.name))
            .is_some_and(|pattern| may_be_built_on_functions(&pattern))
        || (is_pattern && list(clause).is_some_and(|probes| probes.iter().any(is_function)))
}

fn matches_nothing(compiling: &Compiling, job: &Job, clause: &Probe) -> Option<Warning> {
    // Without the flag the script would not have compiled.
    let possible = !ENABLES_LATER && job.compile_flags & ZERO_MATCHES != 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_on_functions_are_recognised_also_where_others_are_built_upon_them() {
        let clause = |provider: &str, name: &str| {
            let [provider, name] = [provider, name].map(str::to_owned);
            Probe { id: 0, provider, module: String::new(), function: String::new(), name }
        };
        for (provider, name) in [
            ("fbt", "entry"),
            ("rawfbt", "return"),
            ("tcp", "send"),
            ("io", "wait-start"),
            ("tcp", ""),
            ("", "send"),
            ("i?", "rec*"),
        ] {
            assert!(is_on_functions(&clause(provider, name), |_| None), "{provider}:::{name}");
        }
        let listed = |_: &Probe| Some(vec![clause("syscall", "entry"), clause("fbt", "entry")]);
        for (provider, is_on_some) in
            [("", true), ("f*", true), ("?bt", true), ("[a-z]bt", true), ("syscall", false)]
        {
            let clause = clause(provider, "entry");
            assert_eq!(is_on_functions(&clause, listed), is_on_some, "{provider}:::entry");
        }
        for (provider, name) in
            [("syscall", "entry"), ("proc", "exec"), ("io", "start"), ("dtrace", "BEGIN")]
        {
            assert!(!is_on_functions(&clause(provider, name), |_| None), "{provider}:::{name}");
        }
    }
}
