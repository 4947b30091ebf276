//! What does a job make libdtrace do outside the worker?
//!
//! The answer decides how far the worker can be confined. It comes from the text of the scripts,
//! before libdtrace has seen them. In case of doubt, the job counts as reaching out.

use crate::data::script::{Directives, Script, Specifier, code_of, words_of};
use crate::stream::job::{Job, Purpose};
use crate::worker::libraries::{has_directives, without_bodies};

/// What a job makes libdtrace do outside the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// It looks at the program of the process that it traces.
    pub(super) target: bool,
    /// It reads the memory of processes, or attaches to them.
    pub(super) memory: bool,
    /// It may place probes in processes that start while it traces.
    pub(super) process_probes: bool,
}

/// Providers whose probes are in the kernel or in libdtrace.
const OF_THE_KERNEL: [&str; 15] = [
    "dtrace", "syscall", "fbt", "rawfbt", "sdt", "rawtp", "proc", "sched", "io", "ip", "tcp",
    "udp", "lockstat", "profile", "cpc",
];

/// Functions of D whose values libdtrace can only name by looking into the process.
const OF_PROCESSES: [&str; 6] = ["ustack", "jstack", "usym", "umod", "uaddr", "ufunc"];

impl Reach {
    /// Returns the reach of a job.
    pub(crate) fn of(job: &Job) -> Reach {
        let process_probes = !job.processes.is_empty()
            || job.target.as_ref().is_some_and(|target| target.gate.is_some())
            || job.scripts.iter().any(may_probe_processes)
            || match &job.purpose {
                // Without patterns or scripts, all probes are listed.
                Purpose::List { patterns, .. } => {
                    (patterns.is_empty() && job.scripts.is_empty())
                        || !patterns.iter().all(|it| is_of_kernel(it))
                }
                _ => false,
            };
        Reach {
            target: job.target.is_some(),
            memory: process_probes || job.scripts.iter().any(names_addresses),
            process_probes,
        }
    }

    /// Returns whether libdtrace looks at other processes at all.
    pub(super) fn other_processes(self) -> bool {
        self.target || self.memory
    }
}

/// Returns whether `is_such` holds for a word of a script, or for one that a macro argument may
/// supply.
fn has_word(script: &Script, is_such: impl Fn(&str) -> bool) -> bool {
    has_text(script, |text| words_of(text).any(&is_such))
}

/// Returns whether `is_such` holds for the text of a script, or for one that a macro argument may supply.
fn has_text(script: &Script, is_such: impl Fn(&str) -> bool) -> bool {
    let text = String::from_utf8_lossy(&script.text);
    let arguments = script.arguments.iter().chain([&script.argument_zero]);
    std::iter::once(&*text).chain(arguments.map(String::as_str)).any(is_such)
}

/// Returns whether libdtrace names addresses in processes for a script.
fn names_addresses(script: &Script) -> bool {
    has_word(script, |word| OF_PROCESSES.contains(&word))
        || has_text(script, has_address_conversion)
}

/// Returns whether a text has the conversion `%A` of printf(), which names an address in a process.
fn has_address_conversion(text: &str) -> bool {
    let is_between = |c: char| c.is_ascii_digit() || "-+ #'.*@?hlLqjzt".contains(c);
    text.split('%').skip(1).any(|rest| rest.trim_start_matches(is_between).starts_with('A'))
}

/// Returns whether a clause of a script may match probes in processes.
fn may_probe_processes(script: &Script) -> bool {
    let text = String::from_utf8_lossy(&script.text);
    if has_directives(&text) {
        return true;
    }
    match script.specifier {
        None => !headers(&without_bodies(&code_of(&text, Directives::Remove))).all(is_of_kernel),
        Some(Specifier::Name) => !is_of_kernel(text.trim()),
        Some(Specifier::Provider) => !is_kernel_provider(text.trim()),
        Some(Specifier::Module | Specifier::Function) => true,
    }
}

/// Returns the descriptions of probes in code without bodies. Declarations may be among them.
fn headers(code: &str) -> impl Iterator<Item = &str> {
    code.split(['}', ';']).flat_map(|clause| {
        let described = clause.split('/').next().unwrap_or(clause);
        described.split(',').map(str::trim).filter(|description| !description.is_empty())
    })
}

fn is_of_kernel(description: &str) -> bool {
    match description.split_once(':') {
        Some((provider, _)) => is_kernel_provider(provider),
        // A name alone. Any other name may belong to a probe in some process.
        None => {
            matches!(description, "BEGIN" | "END" | "ERROR")
                || description.starts_with("tick-")
                || description.starts_with("profile-")
        }
    }
}

fn is_kernel_provider(name: &str) -> bool {
    OF_THE_KERNEL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_of_kernel_probes_stay_in_the_kernel() {
        for text in [
            "BEGIN { trace(1); }",
            "syscall::read:entry, syscall::write:entry /pid == $target/ { @[execname] = count(); }",
            "tick-1s { exit(0); } END { printa(@); }",
            "#pragma D option quiet\nfbt::vfs_read:entry { x = arg0 ? 1 : 2; } /* pid$target:::entry */",
            "profile:::tick-10ms /arg0 != 0/ { printf(\"%d %s: usdt\\n\", pid, execname); }",
        ] {
            let script = Script::new(text);
            assert!(!may_probe_processes(&script) && !names_addresses(&script), "{text}");
        }
    }

    #[test]
    fn clauses_that_may_match_probes_of_processes_reach_out() {
        for text in [
            "pid$target:::entry { }",
            "pid123:libc:malloc:entry { }",
            ":::query-start { }",
            "query-start { }",
            "BEGIN { } node*:::gc { }",
            "BEGIN, foo { }",
            "$1:::entry { }",
            "syscall::read:entry { } io12:::x { }",
            "#include \"other.d\"\nBEGIN { }",
        ] {
            assert!(may_probe_processes(&Script::new(text)), "{text}");
        }
        let bare =
            |text: &str, specifier| Script { specifier: Some(specifier), ..Script::new(text) };
        assert!(may_probe_processes(&bare("libc", Specifier::Module)));
        assert!(may_probe_processes(&bare("pid1", Specifier::Provider)));
        assert!(!may_probe_processes(&bare("syscall", Specifier::Provider)));
        assert!(!may_probe_processes(&bare("syscall::read:entry", Specifier::Name)));
    }

    #[test]
    fn whatever_names_an_address_in_a_process_reaches_into_memory() {
        for text in [
            "BEGIN { ustack(); }",
            "BEGIN { @[usym(arg0)] = count(); }",
            "BEGIN { printf(\"%-20A\", arg0); }",
            "BEGIN { $1(arg0); }",
        ] {
            assert!(names_addresses(&Script::new(text).args(["uaddr"])), "{text}");
        }
        let by_argument = Script::new("BEGIN { printf($$1, arg0); }").args(["%A"]);
        assert!(names_addresses(&by_argument));
        assert!(!names_addresses(&Script::new("BEGIN { printf(\"%d %a: A\", 1); stack(); }")));
    }
}
