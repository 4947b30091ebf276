//! Why did tracing not start, and what can the user do?
//!
//! The causes are limits of the kernel. libdtrace's message names the limit's symptom, not the option or the clause
//! to change.

use crate::data::pattern::ProbePattern;
use crate::data::probe::Probe;
use crate::data::sentences;
use crate::data::session_info::ProgramInfo;

/// Advice where the worker's limit on open files is too low.
const FEW_DESCRIPTORS: &str =
    "each probe needs a descriptor; raise the hard limit on open files, `ulimit -Hn`";

/// Advice where libdtrace cannot set up even its own probes.
const NO_UPROBES: &str = "libdtrace places its own probes through /sys/kernel/debug/tracing/uprobe_events; the kernel may be locked \
     down for confidentiality (boot with `lockdown=integrity`) or lack debugfs (boot without `debugfs=off`)";

/// What the kernel's verifier says of a program, and what to do. Older kernels call a function that a program may not
/// use unknown.
const VERIFIER: [(&str, &str); 9] = [
    ("cannot use helper bpf_probe_write_user", NO_WRITING),
    ("unknown func bpf_probe_write_user", NO_WRITING),
    ("cannot use helper bpf_probe_read", NO_READING),
    ("unknown func bpf_probe_read", NO_READING),
    (
        "too many subprograms",
        "all clauses of a probe form one program, and the kernel allows 256 functions in it; use fewer than 250 \
         clauses for a probe",
    ),
    ("jump out of range", TOO_LARGE),
    ("too large", TOO_LARGE),
    ("too complex", TOO_LARGE),
    ("exceeds the limit", TOO_LARGE),
];

const NO_WRITING: &str = "a kernel that is locked down permits neither `copyout` nor `copyoutstr`; remove them, or boot the \
     kernel without lockdown, which Secure Boot may turn on";

const NO_READING: &str = "a kernel that is locked down for confidentiality does not let programs read its memory; boot it \
     with `lockdown=integrity`";

const TOO_LARGE: &str =
    "a clause is too large for a program of the kernel; split it into several clauses";

/// Returns what to do about a probe that the kernel refused, or its program.
pub(super) fn refused_probe(
    probe: &str,
    message: &str,
    programs: &[ProgramInfo],
) -> Option<String> {
    const REASONS: [&str; 2] = ["Operation not permitted", "No such file or directory"];
    if message.contains("Too many open files") {
        return Some(FEW_DESCRIPTORS.to_owned());
    }
    let known = VERIFIER.iter().find(|(words, _)| message.contains(words));
    if let Some((_, advice)) = known {
        return Some((*advice).to_owned());
    }
    // What the worker could not prepare follows libdtrace's own words.
    let own = message.split("; ").next().unwrap_or(message);
    if own.starts_with("Failed to enable dtrace:")
        && REASONS.iter().any(|reason| own.ends_with(reason))
    {
        return Some(NO_UPROBES.to_owned());
    }
    // Only programs of these providers depend on the function that they are for.
    let of_function = ["fbt:", "rawfbt:"].iter().any(|it| probe.starts_with(it));
    // libdtrace enables `BEGIN`, `END` and `ERROR` whether or not a script has them.
    if probe.starts_with("dtrace:") || !message.starts_with("Failed to enable") && !of_function {
        return None;
    }
    let pattern = pattern_of(probe, programs)?;
    Some(format!(
        "`{pattern}` matches it, and D cannot exclude it; use narrower patterns, or name the probes that you \
         want"
    ))
}

/// Returns the pattern that matches a probe; `None` if a clause names the probe, which then is no accident.
fn pattern_of(probe: &str, programs: &[ProgramInfo]) -> Option<String> {
    let mut parts = probe.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let parts = [next(), next(), next(), next()];
    let clauses = programs.iter().flat_map(|program| &program.clauses).map(|it| &it.probe);
    let matching: Vec<&Probe> = clauses
        .filter(|it| ProbePattern::parse(&it.to_string()).is_some_and(|it| it.matches(parts)))
        .collect();
    let names = |it: &&Probe| it.function == parts[2] && it.name == parts[3];
    let pattern = matching.first().filter(|_| !matching.iter().any(names))?;
    Some(pattern.to_string())
}

/// Returns what to do about a failed call that concerns no probe.
pub(super) fn failed_call(
    call: &str,
    message: &str,
    options: &[(String, Option<String>)],
) -> Option<String> {
    if call != "dtrace_go" {
        return None;
    }
    if message.contains("estructive") {
        return Some(
            "the script uses destructive actions; set the option `destructive`".to_owned(),
        );
    }
    if message.contains("Too many open files") {
        return Some(FEW_DESCRIPTORS.to_owned());
    }
    if message.contains("Too big") || message.contains("Cannot allocate memory") {
        return sentences::uncreated_map(message).map(|map| too_large(map, options));
    }
    match message {
        "Memory allocation failure" => {
            let option = option_among(&["bufsize"], options);
            Some(format!(
                "the buffers of all CPUs exceed the memory, or one exceeds 1 GiB; lower {option}"
            ))
        }
        "Enabling exceeds size of buffer" => {
            let option = option_among(&["bufsize", "aggsize", "dynvarsize"], options);
            Some(format!(
                "a firing, an aggregation or a dynamic variable does not fit its buffer; raise {option}"
            ))
        }
        _ => None,
    }
}

/// Returns what to do if the kernel does not create a BPF map because of its size.
fn too_large(map: &str, options: &[(String, Option<String>)]) -> String {
    let (limit, candidates): (&str, &[&str]) = match map {
        "aggs" => {
            ("an aggregation can have 2^28 entries, as memory permits", &["aggsize", "strsize"])
        }
        "dvars" | "tuples" => {
            ("there can be 2^28 dynamic variables, as memory permits", &["dynvarsize", "strsize"])
        }
        "specs" => ("there can be 2^28 speculations", &["nspec"]),
        "mem" => (
            "the data that a firing records and about six strings must fit into 32 KiB; record less in a \
             clause",
            &["strsize", "pcapsize", "maxframes"],
        ),
        "scratchmem" => ("scratch memory is limited to 16000 bytes", &["scratchsize"]),
        "lvars" => {
            ("the variables of a clause must fit into 32 KiB; use smaller ones", &["strsize"])
        }
        "gvars" => ("the script's variables are too large; use smaller ones", &["strsize"]),
        "strtab" => ("the strings are too large", &["strsize"]),
        "probes" => return "the script has too many probes; use narrower patterns".to_owned(),
        // Their sizes depend on the number of CPUs alone.
        _ => return format!("the kernel has too little memory for libdtrace's table `{map}`"),
    };
    format!("{limit}; lower {}", option_among(candidates, options))
}

/// Returns what limits an option that libdtrace refused, if its message does not tell it.
pub(super) fn refused_option(name: &str, message: &str) -> Option<&'static str> {
    (name.ends_with("frames") && message.starts_with("Invalid value"))
        .then_some("no stack can have more frames than `sysctl kernel.perf_event_max_stack` allows")
}

/// Names the options among the candidates that the user has set, with their values; all of them if the user has
/// set none.
fn option_among(candidates: &[&str], options: &[(String, Option<String>)]) -> String {
    // The crate itself sets these.
    let is_default = |name: &str, value: Option<&str>| {
        ["bufsize", "aggsize"].contains(&name) && value == Some("4m")
    };
    let set: Vec<String> = candidates
        .iter()
        .filter_map(|name| {
            let (_, value) = options.iter().rfind(|(set, _)| set == name)?;
            let value = value.as_deref();
            (!is_default(name, value)).then(|| match value {
                Some(value) => format!("`{name}` ({value})"),
                None => format!("`{name}`"),
            })
        })
        .collect();
    let all: Vec<String> = candidates.iter().map(|name| format!("`{name}`")).collect();
    let named = if set.is_empty() { all } else { set };
    format!("the option {}", named.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listing::ListedProbe;

    fn programs(clauses: &[&str]) -> Vec<ProgramInfo> {
        let probe = |text: &&str| {
            let mut parts = text.split(':').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            let (provider, module, function, name) = (next(), next(), next(), next());
            let probe = Probe { id: 0, provider, module, function, name };
            ListedProbe { probe, details: None }
        };
        vec![ProgramInfo { clauses: clauses.iter().map(probe).collect(), ..ProgramInfo::default() }]
    }

    const REFUSED: &str = "fbt:vmlinux:tcp_shifted_skb:entry";

    fn enabling(clauses: &[&str], reason: &str) -> String {
        let message = format!("Failed to enable {REFUSED}: {reason}");
        refused_probe(REFUSED, &message, &programs(clauses)).unwrap_or_default()
    }

    #[test]
    fn a_refused_probe_is_to_be_excluded_from_the_pattern_that_matches_it() {
        let refused = "Operation not supported";
        let both = ["syscall:::entry", "fbt::tcp_*:entry"];
        assert!(enabling(&both, refused).starts_with("`fbt::tcp_*:entry` matches it"));
        assert!(enabling(&["fbt:::"], refused).starts_with("`fbt:::` matches it"));
        let named = ["fbt::tcp_*:entry", "fbt::tcp_shifted_skb:entry"];
        assert_eq!(enabling(&named, refused), "");
        assert_eq!(enabling(&[], refused), "");
        let text = enabling(&both, "Too many open files");
        assert!(text.contains("ulimit -Hn") && !text.contains("matches it"), "{text}");
    }

    #[test]
    fn a_kernel_that_refuses_libdtraces_own_probes_is_locked_down_or_lacks_debugfs() {
        let advice = |probe: &str, reason: &str| {
            let message = format!("Failed to enable {probe}: {reason}");
            refused_probe(probe, &message, &programs(&["syscall:::entry"]))
        };
        for reason in ["No such file or directory", "Operation not permitted"] {
            let text = advice("dtrace:::BEGIN", reason).unwrap_or_default();
            assert!(text.contains("`lockdown=integrity`") && text.contains("`debugfs=off`"));
            let unprepared =
                format!("{reason}; cannot mount debugfs: Invalid argument (os error 22)");
            assert_eq!(advice("dtrace:::BEGIN", &unprepared).as_deref(), Some(NO_UPROBES));
            let of_call = advice("syscall:vmlinux:read:entry", reason).unwrap_or_default();
            assert!(!of_call.contains("debugfs"), "{of_call}");
        }
        assert_eq!(advice("dtrace:::BEGIN", "Device or resource busy"), None);
    }

    #[test]
    fn a_refused_program_is_due_to_its_clauses_unless_it_is_for_a_function() {
        let loading = |probe: &str, reason: &str| {
            let message =
                format!("BPF program load for '{probe}' failed: Invalid argument{reason}");
            let clauses = programs(&["fbt::tcp_*:", "syscall:::entry"]);
            refused_probe(probe, &message, &clauses).unwrap_or_default()
        };
        assert!(loading(REFUSED, "").starts_with("`fbt::tcp_*:` matches it"));
        let call = "syscall:vmlinux:read:entry";
        assert_eq!(loading(call, ""), "");
        for probe in [REFUSED, call] {
            for refusal in ["program of this type cannot use helper", "unknown func"] {
                let text = loading(probe, &format!("; {refusal} bpf_probe_write_user#36"));
                assert!(text.contains("`copyoutstr`") && !text.contains("matches it"), "{text}");
                let text = loading(probe, &format!("; {refusal} bpf_probe_read_kernel#113"));
                assert!(text.contains("`lockdown=integrity`"), "{text}");
            }
            let text = loading(probe, "; jump out of range from insn 167 to -877");
            assert_eq!(text, TOO_LARGE);
        }
    }

    #[test]
    fn the_advice_names_the_options_that_size_the_map() {
        let advice = |map: &str, options: &[(&str, &str)]| {
            let options: Vec<_> = [("bufsize", "4m"), ("aggsize", "4m")]
                .iter()
                .chain(options)
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect();
            let message = format!("failed to create BPF map '{map}': Too big");
            failed_call("dtrace_go", &message, &options).unwrap_or_default()
        };
        for (map, option) in [
            ("aggs", "`aggsize` or `strsize`"),
            ("mem", "`strsize` or `pcapsize` or `maxframes`"),
            ("scratchmem", "`scratchsize`"),
            ("dvars", "`dynvarsize` or `strsize`"),
            ("tuples", "`dynvarsize` or `strsize`"),
            ("specs", "`nspec`"),
            ("strtab", "`strsize`"),
            ("gvars", "`strsize`"),
            ("lvars", "`strsize`"),
        ] {
            let advice = advice(map, &[]);
            assert!(advice.ends_with(&format!("lower the option {option}")), "{map}: {advice}");
        }
        assert!(advice("mem", &[("maxframes", "9999")]).ends_with("the option `maxframes` (9999)"));
        assert!(advice("aggs", &[("aggsize", "8g")]).ends_with("the option `aggsize` (8g)"));
        assert!(advice("cpuinfo", &[]).contains("`cpuinfo`"));
        assert_eq!(failed_call("dtrace_work", "Too big", &[]), None);
    }
}
