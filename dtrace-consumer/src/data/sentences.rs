//! Meaning of libdtrace's English messages.
//!
//! libdtrace reports some cases only as English text. This module parses it; `tests/sentences.rs` checks each
//! message against the real library.

/// How the message of a failure begins that is due to invalid data from libdtrace.
pub(crate) const INVALID_DATA: &str = "invalid data from libdtrace";

/// Returns the probe that the kernel refused, from the message of a failed `dtrace_go`.
pub(crate) fn refused_probe<'m>(call: &str, message: &'m str) -> Option<&'m str> {
    if call != "dtrace_go" {
        return None;
    }
    if let Some(refused) = message.strip_prefix("Failed to enable ") {
        return refused.split_once(": ").map(|(probe, _)| probe);
    }
    let refused = message.strip_prefix("BPF program load for '")?;
    // libdtrace truncates what precedes the reason, probe included, at 63 bytes.
    refused.split_once(['\'']).or_else(|| refused.rsplit_once(": ")).map(|(probe, _)| probe)
}

/// Returns why the kernel's verifier refused a program. `printed` is what libdtrace wrote to standard error:
/// the verifier's log, with `BPF: ` before each line. Since Linux 7 an explanation of many lines
/// follows the reason. Then come statistics, which begin with the time that it took; newer kernels have more of them.
pub(crate) fn verifier_reason<'p>(message: &str, printed: &'p str) -> Option<&'p str> {
    const EXPLANATION: &str = "Verification failed: ";
    const TIME: &str = "verification time";
    const OTHERS: [&str; 4] = ["stack depth", "processed ", "peak_states", "subprog "];
    if !message.starts_with("BPF program load for '") {
        return None;
    }
    let lines = printed.lines().filter_map(|line| line.strip_prefix("BPF: ")).map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let last = |begin: &str| lines.iter().rposition(|line| line.starts_with(begin));
    let end = last(EXPLANATION).or_else(|| last(TIME)).unwrap_or(lines.len());
    let is_reason = |line: &&&str| !OTHERS.iter().any(|it| line.starts_with(it));
    lines[..end].iter().rev().find(is_reason).copied()
}

/// Returns the probe description that matches no probes.
pub(crate) fn unmatched_description(message: &str) -> Option<&str> {
    let rest = message.split_once("probe description ")?.1;
    Some(rest.split_once(" does not match any probes")?.0)
}

/// Returns the D library that does not compile, from `"/…/6.10/io.d", line 134: …`.
pub(crate) fn named_library(message: &str) -> Option<&str> {
    let message = message.trim_start_matches(|c: char| {
        c == '[' || c == ']' || c == '_' || c == ' ' || c.is_ascii_uppercase()
    });
    let (path, rest) = message.strip_prefix('"')?.split_once('"')?;
    let name = path.rsplit('/').next()?;
    (path.starts_with('/') && name.ends_with(".d") && rest.starts_with(", line ")).then_some(name)
}

/// Returns the BPF map that was not created, from `failed to create BPF map 'mem': Too big`.
pub(crate) fn uncreated_map(message: &str) -> Option<&str> {
    message.split_once("failed to create BPF map '")?.1.split('\'').next()
}

/// Returns whether the compiler failed to parse the script.
pub(crate) fn is_syntax_error(message: &str) -> bool {
    message.contains("[D_SYNTAX]")
}

/// Returns whether the compiler found no translator for an argument: `failed to resolve translated type for args[0]`.
pub(crate) fn needs_a_translator(message: &str) -> bool {
    message.contains("translated type")
}

/// Returns whether `dtrace_probe_iter` found no probe, which is a valid result.
pub(crate) fn nothing_matches(message: &str) -> bool {
    message == "No probe matches description"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_that_the_kernel_refuses_is_found_in_the_message() {
        let probe = "fbt:vmlinux:tcp_shifted_skb:entry";
        let attach = format!("Failed to enable {probe}: Operation not supported");
        let load = format!("BPF program load for '{probe}' failed: Invalid argument");
        let cut = format!("BPF program load for '{probe}' faile: Invalid argument");
        for message in [attach, load, cut] {
            assert_eq!(refused_probe("dtrace_go", &message), Some(probe));
            assert_eq!(refused_probe("dtrace_work", &message), None);
        }
        assert_eq!(refused_probe("dtrace_go", "Too big"), None);
    }

    #[test]
    fn the_reason_of_the_verifier_precedes_its_statistics() {
        let printed = "BPF: 12: (79) r1 = *(u64 *)(r1 +0)\nBPF: R1 invalid mem access 'scalar'\n\
                       BPF: verification time 91 usec\nBPF: stack depth 32\nBPF: processed 13 insns\n";
        let refused = "BPF program load for 'dtrace:::BEGIN' failed: Permission denied";
        let reason = Some("R1 invalid mem access 'scalar'");
        assert_eq!(verifier_reason(refused, printed), reason);
        let more = "BPF: subprog 0 (main) static insns_self 9 insns_total 13 stack 32\nBPF: yet another 1\n";
        assert_eq!(verifier_reason(refused, &format!("{printed}{more}")), reason);
        let without = printed.replace("BPF: verification time 91 usec\n", "");
        assert_eq!(verifier_reason(refused, &without), reason);
        assert_eq!(verifier_reason(refused, "another message"), None);
        assert_eq!(verifier_reason("Too big", printed), None);
    }

    #[test]
    fn the_reason_of_the_verifier_precedes_its_explanation() {
        let printed = "BPF: 12: (85) call bpf_probe_write_user#36\n\
                       BPF: program of this type cannot use helper bpf_probe_write_user#36\n\
                       BPF: \nBPF: Verification failed: Policy: Operation is not allowed\nBPF: \nBPF: At:\n\
                       BPF:   insn 12\nBPF: \nBPF: Suggestion:\nBPF:   Use a helper that is allowed.\nBPF: \n\
                       BPF: stack depth max 0\nBPF: subprog 0 (<unknown>) main insns_self 104 stack 88\n";
        let reason = Some("program of this type cannot use helper bpf_probe_write_user#36");
        let refused = "BPF program load for 'dtrace:::BEGIN' failed: Invalid argument";
        assert_eq!(verifier_reason(refused, printed), reason);
        let (_, statistics) = printed.split_once("BPF: stack").expect("statistics");
        let before = "BPF: program of this type cannot use helper bpf_probe_write_user#36\n";
        assert_eq!(verifier_reason(refused, &format!("{before}BPF: stack{statistics}")), reason);
    }

    #[test]
    fn the_description_is_found_in_the_message() {
        let message = "line 1: probe description a::b:c does not match any probes";
        assert_eq!(unmatched_description(message), Some("a::b:c"));
        assert_eq!(unmatched_description("syntax error"), None);
    }

    #[test]
    fn a_message_about_a_library_names_it() {
        let message =
            "\"/usr/lib/dtrace/6.10/io.d\", line 134: failed to resolve vmlinux`major_names";
        assert_eq!(named_library(message), Some("io.d"));
        assert_eq!(named_library(&format!("[D_IDENT_UNDEF] {message}")), Some("io.d"));
        assert_eq!(named_library("line 3: syntax error near \"io.d\""), None);
    }
}
