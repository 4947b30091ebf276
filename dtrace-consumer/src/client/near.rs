//! Which probes are similar to a description that matches none?

use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;

/// The maximum number of suggestions.
const AT_MOST: usize = 5;

/// Returns the four parts of a description. One with fewer parts omits the first ones.
pub(super) fn parts(description: &str) -> [&str; 4] {
    let mut parts = [""; 4];
    for (slot, part) in parts.iter_mut().rev().zip(description.rsplit(':')) {
        *slot = part;
    }
    parts
}

/// Returns the probes that are nearest to a description, nearest first.
pub(super) fn similar(description: &str, probes: &[ListedProbe]) -> Vec<String> {
    let wanted = parts(description);
    let mut found: Vec<(usize, &Probe)> = probes
        .iter()
        .filter_map(|listed| Some((distance(&wanted, &listed.probe)?, &listed.probe)))
        .collect();
    found.sort_by_key(|(distance, probe)| (*distance, probe.id));
    found.into_iter().take(AT_MOST).map(|(_, probe)| probe.to_string()).collect()
}

/// Returns how many characters are wrong; `None` unless each part is close. One part may be entirely wrong if
/// the function is right, because a function identifies a probe. Other parts are shared by many probes.
fn distance(wanted: &[&str; 4], probe: &Probe) -> Option<usize> {
    let has = [&probe.provider, &probe.module, &probe.function, &probe.name];
    let parts = wanted.iter().zip(has).map(|(wanted, has)| wrong(wanted, has).ok_or(wanted.len()));
    let far = parts.clone().filter(Result::is_err).count();
    let sum = parts.map(|wrong| wrong.unwrap_or_else(|length| length)).sum();
    let is_known = wanted[2].len() > 2 && wanted[2] == probe.function;
    (far == 0 || far == 1 && is_known).then_some(sum)
}

/// Returns how many characters of a part are wrong; `None` if that is more than a third of those given, or
/// if the text does not begin or end with it.
fn wrong(wanted: &str, has: &str) -> Option<usize> {
    let literal = wanted.chars().filter(|c| !is_wildcard(*c)).count();
    if wanted.is_empty() || wanted == has {
        return Some(0);
    }
    let is_pattern = wanted.contains(is_wildcard);
    let extra = has.len().abs_diff(wanted.len());
    if !is_pattern
        && literal > 3
        && extra <= literal
        && (has.starts_with(wanted) || has.ends_with(wanted))
    {
        return Some(extra);
    }
    let limit = literal / 3;
    if !is_pattern && extra > limit {
        return None;
    }
    Some(edits(wanted, has)).filter(|edits| *edits <= limit)
}

fn is_wildcard(c: char) -> bool {
    "*?[]".contains(c)
}

/// Returns the number of insertions, deletions, substitutions and swaps of neighbours that make a text match
/// a pattern. Brackets match any single characters.
fn edits(pattern: &str, text: &str) -> usize {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=text.len()).collect()];
    for (row, &wanted) in pattern.iter().enumerate() {
        let above = &rows[row];
        let free = is_wildcard(wanted);
        let mut current = vec![above[0] + usize::from(!free)];
        for (column, &has) in text.iter().enumerate() {
            let matches = wanted == has || free;
            let mut least = (above[column] + usize::from(!matches))
                .min(above[column + 1] + usize::from(!free))
                .min(current[column] + usize::from(wanted != '*'));
            if row > 0 && column > 0 && wanted == text[column - 1] && pattern[row - 1] == has {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            current.push(least);
        }
        rows.push(current);
    }
    rows[pattern.len()][text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBES: [&str; 10] = [
        "syscall:vmlinux:open:entry",
        "syscall:vmlinux:open:return",
        "syscall:vmlinux:openat:entry",
        "syscall:vmlinux:newstat:entry",
        "proc:vmlinux::exit",
        "io:vmlinux::start",
        "ip:vmlinux::send",
        "proc:vmlinux::start",
        "fbt:vmlinux:tcp_v4_rcv:entry",
        "rawtp:sched::sched_switch",
    ];

    fn found(description: &str) -> Vec<String> {
        let probes: Vec<ListedProbe> = PROBES
            .iter()
            .map(|text| {
                let [provider, module, function, name] = parts(text).map(str::to_owned);
                let probe = Probe { id: 1, provider, module, function, name };
                ListedProbe { probe, details: None }
            })
            .collect();
        similar(description, &probes)
    }

    #[test]
    fn a_misspelt_probe_finds_the_one_that_was_meant() {
        for (description, expected) in [
            ("syscall::opne:entry", "syscall:vmlinux:open:entry"),
            ("sycall::open:entry", "syscall:vmlinux:open:entry"),
            ("sycall:::exit", ""),
            ("syscall::stat:entry", "syscall:vmlinux:newstat:entry"),
            ("syscall::open:enter", "syscall:vmlinux:open:entry"),
            ("syscal*::open:entry", "syscall:vmlinux:open:entry"),
            ("fbt:ipv4:tcp_v4_rcv:entry", "fbt:vmlinux:tcp_v4_rcv:entry"),
            ("fbt::tcp_v4_rvc:entry", "fbt:vmlinux:tcp_v4_rcv:entry"),
            ("fbt::tpc_v4_*:entry", "fbt:vmlinux:tcp_v4_rcv:entry"),
            ("rawtp:::sched_swich", "rawtp:sched::sched_switch"),
        ] {
            let found = found(description);
            assert_eq!(found.first().map_or("", String::as_str), expected, "{description}");
        }
    }

    #[test]
    fn what_is_not_close_is_not_suggested() {
        for description in [
            "shop*:::sale",
            "shop:::start",
            "shop*:::start",
            "x*:::",
            "syscall::no_such_call:entry",
        ] {
            assert_eq!(found(description), [""; 0], "{description}");
        }
    }

    #[test]
    fn a_wildcard_costs_nothing() {
        assert_eq!(edits("tcp_*", "tcp_v4_rcv"), 0);
        assert_eq!(edits("tpc_*", "tcp_v4_rcv"), 1);
        assert_eq!(edits("op?n", "open"), 0);
        assert_eq!(edits("opne", "open"), 1);
        assert_eq!(edits("", "abc"), 3);
    }
}
