//! Meaning of libdtrace's English messages.
//!
//! libdtrace reports some cases only as English text. This module parses it; `tests/sentences.rs` checks each
//! message against the real library.

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
/// the verifier's log, with `BPF: ` before each line. Statistics follow the reason.
pub(crate) fn verifier_reason<'p>(message: &str, printed: &'p str) -> Option<&'p str> {
    const STATISTICS: [&str; 4] = ["verification time", "stack depth", "processed ", "peak_states"];
    if !message.starts_with("BPF program load for '") {
        return None;
    }
    let lines = printed.lines().rev().filter_map(|line| line.strip_prefix("BPF: "));
    lines
        .map(str::trim)
        .find(|line| !line.is_empty() && !STATISTICS.iter().any(|it| line.starts_with(it)))
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

/// Returns advice for messages of libdtrace that do not name the remedy.
pub(crate) fn advice(call: &str, message: &str) -> Option<&'static str> {
    if call != "dtrace_go" {
        return None;
    }
    if message.contains("estructive") {
        return Some("the script uses destructive actions; set the option `destructive`");
    }
    if message.contains("Too many open files") {
        return Some(FEW_DESCRIPTORS);
    }
    if message.contains("Too big") || message.contains("Cannot allocate memory") {
        return Some(too_large(created_map(message).unwrap_or_default()));
    }
    match message {
        "Memory allocation failure" => Some(
            "there is not enough memory for the buffers of all CPUs; lower the option `bufsize`",
        ),
        "Enabling exceeds size of buffer" => Some(
            "a firing or an aggregation does not fit its buffer; raise the option `bufsize` or `aggsize`",
        ),
        _ => None,
    }
}

/// Advice where the worker's limit on open files is too low.
pub(crate) const FEW_DESCRIPTORS: &str =
    "each probe needs a descriptor; raise the hard limit on open files, `ulimit -Hn`";

/// Returns the BPF map that was not created, from `failed to create BPF map 'mem': Too big`.
fn created_map(message: &str) -> Option<&str> {
    message.split_once("BPF map '")?.1.split('\'').next()
}

/// Returns which options to lower if the kernel does not create this BPF map.
fn too_large(map: &str) -> &'static str {
    match map {
        "aggs" => "the aggregations are too large for the kernel; lower the option `aggsize`",
        "mem" => "the data of a firing are too large for the kernel; lower the option `strsize`",
        "scratchmem" => {
            "scratch memory is too large for the kernel; lower the option `scratchsize` or `strsize`"
        }
        "dvars" | "tuples" => {
            "dynamic variables are too large for the kernel; lower the option `dynvarsize` or `strsize`"
        }
        "strtab" | "lvars" | "gvars" => {
            "the script's strings are too large for the kernel; lower the option `strsize`"
        }
        "buffers" => "the buffers are too large for the kernel; lower the option `bufsize`",
        _ => {
            "a buffer is too large for the kernel; lower the option `bufsize`, `aggsize`, `strsize` or \
             `dynvarsize`"
        }
    }
}

/// Returns whether the compiler failed to parse the script.
pub(crate) fn is_syntax_error(message: &str) -> bool {
    message.contains("[D_SYNTAX]")
}

/// Returns whether a compiler's message may be about something that a D library defines: a translator, a type,
/// a constant.
pub(crate) fn may_need_a_library(message: &str) -> bool {
    let others = ["syntax error", "undefined function name", "failed to grab process"];
    let is_other = others.iter().any(|it| message.contains(it));
    !is_other && unmatched_description(message).is_none()
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
        assert_eq!(verifier_reason(refused, "another message"), None);
        assert_eq!(verifier_reason("Too big", printed), None);
    }

    #[test]
    fn the_advice_names_the_option_of_the_map_that_is_too_large() {
        for (map, option) in
            [("aggs", "aggsize"), ("mem", "strsize"), ("dvars", "dynvarsize"), ("new", "bufsize")]
        {
            let message = format!("failed to create BPF map '{map}': Too big");
            let advice = advice("dtrace_go", &message).unwrap_or_default();
            assert!(advice.contains(option), "{map}: {advice}");
        }
        assert_eq!(advice("dtrace_work", "Too big"), None);
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
