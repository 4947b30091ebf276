//! Why does a description match no probe, or why is a process not traced, and what can the user do?

use crate::data::listing::ListedProbe;
use crate::data::pattern::ProbePattern;

/// Advice where `$target` is not the id of a process.
pub(super) const NO_TARGET: &str = "`$target` is 0, because the session has no command and grabs no \
     process; trace a command with `run_synchronous`, or call `grab`";

/// Whether libdtrace says that a provider's name has 0 where the number of a process belongs.
pub(super) fn names_no_process(message: &str) -> bool {
    let provider = message.strip_suffix("' does not contain a valid pid");
    // DTrace for Linux does not quote it.
    let provider = provider.and_then(|it| it.strip_prefix('\''));
    let provider = provider.or_else(|| message.strip_suffix(" does not contain a valid pid"));
    let digits = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    provider.is_some_and(|it| &it[digits(it)..] == "0")
}

/// Providers that need kprobes.
const OF_FUNCTIONS: [&str; 2] = ["fbt", "rawfbt"];

/// Providers whose probes libdtrace reads from the kernel's tracing files. Every kernel that can trace has some.
const OF_TRACING_FILES: [&str; 3] = ["syscall", "rawtp", "sdt"];

/// Advice where there are no tracing files.
const NO_TRACING_FILES: &str = "libdtrace finds no tracepoints, no system calls and no functions; the kernel may be \
     locked down for confidentiality (boot with `lockdown=integrity`), or debugfs is missing and the worker may not \
     mount it (mount it on /sys/kernel/debug)";

/// What a hint is derived from.
pub(super) struct Facts<'f> {
    /// All probes.
    pub(super) probes: &'f [ListedProbe],
    /// The kernel's symbols, as in `/proc/kallsyms`; empty if they cannot be read.
    pub(super) symbols: &'f str,
    /// Whether the kernel's function tracing has turned itself off.
    pub(super) functions_are_off: fn() -> bool,
    /// Whether a process exists.
    pub(super) exists: fn(u32) -> bool,
    /// Whether DTrace is of the Sun lineage: libdtrace grabs the processes that descriptions name itself, and the
    /// kernel enables probes that appear while a session runs, if its script may match none.
    pub(super) sun: bool,
    /// Whether the session grabs a process, or has it as its command.
    pub(super) grabs: &'f dyn Fn(u32) -> bool,
}

impl Facts<'_> {
    /// Explains why a description, with the four parts given, matches no probe.
    pub(super) fn unmatched(&self, [provider, module, function, _]: [&str; 4]) -> Option<String> {
        if provider.is_empty() {
            return None;
        }
        if self.lacks_tracing_files()
            && OF_FUNCTIONS.iter().chain(&OF_TRACING_FILES).any(|it| *it == provider)
        {
            return Some(NO_TRACING_FILES.to_owned());
        }
        if OF_FUNCTIONS.contains(&provider) {
            return self.function(module, function);
        }
        let pattern = ProbePattern::parse(&format!("{provider}:::"));
        let is_there = |it: &ListedProbe| {
            let named = [it.probe.provider.as_str(), "", "", ""];
            pattern.as_ref().is_some_and(|pattern| pattern.matches(named))
        };
        if self.probes.iter().any(is_there) {
            return None;
        }
        match process_in(provider) {
            Some((_, 0)) => Some(NO_TARGET.to_owned()),
            // The command has ended with the session.
            Some((_, pid)) if !(self.exists)(pid) && !(self.grabs)(pid) => {
                Some(format!("there is no provider `{provider}`, and no process {pid}"))
            }
            Some(("pid", pid)) if self.sun || (self.grabs)(pid) => Some(format!(
                "process {pid} has no such function; modules have the names of its files"
            )),
            Some(("pid", pid)) => self.ungrabbed(pid),
            Some((name, pid)) => Some(format!(
                "process {pid} defines no probes of a provider `{name}`, or has not registered them yet{}",
                self.later()
            )),
            None => Some(format!(
                "no provider matches `{provider}`: libdtrace has {}, and no running process defines it{}",
                self.providers().join(", "),
                if is_literal(provider) { "" } else { self.later() }
            )),
        }
    }

    /// What to do about probes that a program registers while the session runs.
    fn later(&self) -> &'static str {
        if self.sun {
            "; to trace probes that are registered later, call `allow_zero_matches()`, as `dtrace -Z` does"
        } else {
            ""
        }
    }

    fn lacks_tracing_files(&self) -> bool {
        let is_of_them = |it: &ListedProbe| OF_TRACING_FILES.contains(&it.probe.provider.as_str());
        !self.probes.is_empty() && !self.probes.iter().any(is_of_them)
    }

    /// Explains why libdtrace did not grab a process that a probe description names.
    pub(super) fn ungrabbed(&self, pid: u32) -> Option<String> {
        if !(self.exists)(pid) {
            return Some(format!("there is no process {pid}"));
        }
        let advice = format!(
            "call `grab({pid})`, as `dtrace -p {pid}` does; without it libdtrace finds no functions of \
             the process"
        );
        (!self.sun && !(self.grabs)(pid)).then_some(advice)
    }

    /// Decides by the kernel's symbols. libdtrace makes these probes only for descriptions that name them, so a
    /// list of all probes lacks them.
    fn function(&self, module: &str, function: &str) -> Option<String> {
        if self.symbols.is_empty() {
            return None;
        }
        if !self.has_symbol("register_kprobe") {
            let reason = "this kernel has no kprobes, so it cannot trace functions";
            return Some(format!(
                "{reason}; probes of the providers `rawtp`, `sdt` and `syscall` still work"
            ));
        }
        if (self.functions_are_off)() {
            let reason = "the kernel has turned its function tracing off after an error";
            return Some(format!("{reason} (`dmesg` shows it); reboot"));
        }
        if is_literal(module) && module != "vmlinux" && !self.has_module(module) {
            return Some(format!(
                "no module `{module}` is loaded; functions of modules that are built into the kernel are \
                 in `vmlinux`"
            ));
        }
        is_literal(function).then(|| {
            if self.has_symbol(function) {
                format!("the kernel has a function `{function}`, but does not permit tracing it")
            } else {
                format!(
                    "the kernel has no function `{function}`: it is inlined, its module is not loaded, or \
                     its name is different"
                )
            }
        })
    }

    fn has_module(&self, name: &str) -> bool {
        let field = format!("[{name}]");
        self.symbols.lines().any(|line| line.split_ascii_whitespace().nth(3) == Some(&field))
    }

    fn has_symbol(&self, name: &str) -> bool {
        self.symbols.lines().any(|line| line.split_ascii_whitespace().nth(2) == Some(name))
    }

    /// Returns the names of the providers that do not belong to a process.
    fn providers(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.probes.iter().map(|it| it.probe.provider.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| process_in(name).is_none());
        names
    }
}

fn is_literal(part: &str) -> bool {
    !part.is_empty() && !part.contains(['*', '?', '['])
}

/// Splits the name of a process's provider into the name and the process id.
fn process_in(provider: &str) -> Option<(&str, u32)> {
    let name = provider.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((name, provider[name.len()..].parse().ok()?)).filter(|(name, _)| !name.is_empty())
}

/// Returns the process that libdtrace could not grab, from `failed to grab process 42`.
pub(super) fn not_grabbed(message: &str) -> Option<u32> {
    message.strip_prefix("failed to grab process ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::probe::Probe;

    fn listed(parts: [&str; 4]) -> ListedProbe {
        let [provider, module, function, name] = parts.map(str::to_owned);
        ListedProbe { probe: Probe { id: 1, provider, module, function, name }, details: None }
    }

    /// Process 7 is grabbed, and 17 is the command, which has ended.
    fn explained(probes: &[[&str; 4]], symbols: &str, sun: bool, description: [&str; 4]) -> String {
        let probes: Vec<_> = probes.iter().map(|parts| listed(*parts)).collect();
        let grabs = |pid| [7, 17].contains(&pid);
        let exists = |pid| pid < 10;
        let functions_are_off = || false;
        let probes = &probes;
        let facts = Facts { probes, symbols, functions_are_off, exists, sun, grabs: &grabs };
        facts.unmatched(description).unwrap_or_default()
    }

    fn hint(probes: &[[&str; 4]], symbols: &str, description: [&str; 4]) -> String {
        explained(probes, symbols, false, description)
    }

    #[test]
    fn a_provider_of_process_0_is_recognised_as_each_libdtrace_quotes_it() {
        for message in
            ["pid0 does not contain a valid pid", "'myapp0' does not contain a valid pid"]
        {
            assert!(names_no_process(message), "{message}");
        }
        for message in [
            "'pid10' does not contain a valid pid",
            "pid0 is busy",
            "'' does not contain a valid pid",
        ] {
            assert!(!names_no_process(message), "{message}");
        }
    }

    #[test]
    fn a_kernel_without_kprobes_is_told_from_one_that_does_not_trace_the_function() {
        let description = ["fbt", "", "tcp_v4_rcv", "entry"];
        let without = hint(&[], "0 T tcp_v4_rcv\n", description);
        assert!(without.contains("no kprobes") && without.contains("`rawtp`"), "{without}");
        let refused = hint(&[], "0 T register_kprobe\n0 T tcp_v4_rcv\n", description);
        assert!(refused.contains("does not permit tracing"), "{refused}");
        let absent = hint(&[], "0 T register_kprobe\n", description);
        assert!(absent.contains("has no function `tcp_v4_rcv`"), "{absent}");
        let with_module = "0 T register_kprobe\n0 t ext4_open [ext4]\n";
        let module = |name| hint(&[], with_module, ["fbt", name, "nfsd_open", "entry"]);
        assert!(module("nfsd").contains("no module `nfsd` is loaded"), "{}", module("nfsd"));
        assert!(module("ext4").contains("has no function"), "{}", module("ext4"));
    }

    #[test]
    fn a_kernel_without_tracing_files_may_be_locked_down() {
        let own = ["dtrace", "", "", "BEGIN"];
        let with_kprobes = "0 T register_kprobe\n0 T tcp_v4_rcv\n";
        for provider in ["syscall", "rawtp", "sdt", "fbt", "rawfbt"] {
            let description = [provider, "", "tcp_v4_rcv", "entry"];
            assert_eq!(hint(&[own], with_kprobes, description), NO_TRACING_FILES, "{provider}");
            let call = ["sdt", "sched", "", "switch"];
            let other = hint(&[own, call], with_kprobes, description);
            assert!(!other.contains("locked down"), "{provider}: {other}");
        }
        assert!(hint(&[own], "", ["shop", "", "", "sale"]).contains("no provider matches `shop`"));
    }

    #[test]
    fn a_provider_of_a_process_names_what_the_process_lacks() {
        let of = |provider| hint(&[], "", [provider, "", "", "sale"]);
        assert_eq!(of("shop0"), NO_TARGET);
        assert!(of("shop42").contains("no process 42"));
        assert!(of("shop5").contains("process 5 defines no probes of a provider `shop`"));
        assert!(of("pid5").contains("call `grab(5)`"));
        assert!(of("pid7").contains("no such function"));
        assert!(of("shop17").contains("process 17 defines no probes"));
        assert!(of("pid17").contains("no such function"));
    }

    #[test]
    fn probes_that_can_be_enabled_later_need_a_script_that_may_match_none() {
        for (provider, expected) in
            [("shop17", true), ("shop5", true), ("shop*", true), ("shop42", false), ("shop", false)]
        {
            let of = |sun| explained(&[], "", sun, [provider, "", "", "sale"]);
            assert_eq!(of(true).contains("`allow_zero_matches()`"), expected, "{}", of(true));
            assert!(!of(false).contains("allow_zero_matches"), "{}", of(false));
        }
    }

    #[test]
    fn a_process_is_not_to_be_grabbed_where_libdtrace_does_it() {
        let hint = explained(&[], "", true, ["pid5", "", "sell", "entry"]);
        assert!(hint.contains("process 5 has no such function"), "{hint}");
    }

    #[test]
    fn a_provider_that_does_not_exist_gets_the_names_of_those_that_do() {
        let probes = [["syscall", "vmlinux", "open", "entry"], ["pid3", "libc", "free", "entry"]];
        let hint = hint(&probes, "", ["shop*", "", "", "sale"]);
        assert!(hint.contains("no provider matches `shop*`: libdtrace has syscall, and"), "{hint}");
    }
}
