//! What are the bounds of the numbers that a user sets for an elevated worker?
//!
//! docs/threat-model.md has the table.

/// The maximum number of items of any kind in a request, except for symbols: scripts, options…
pub(super) const MOST: usize = 1024;

/// The maximum number of symbols in a request. Tens of thousands are common.
pub(super) const MOST_SYMBOLS: usize = 1 << 16;

/// The longest instruction sequence that opens a command's gate, in bytes.
pub(super) const LONGEST_OPENING: usize = 16;

/// The shortest time between snapshots, in milliseconds.
pub(super) const SHORTEST_INTERVAL: u128 = 1;

/// What an option's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Not a number, and harmless whatever its value.
    Any,
    /// At most this many bytes.
    Size(u64),
    /// At most this number.
    Number(u64),
    /// 0, or at least this many nanoseconds.
    Interval(u64),
    /// `unlimited`, or a number of bytes.
    Unlimited,
}

use self::Limit::{Any, Interval, Number, Size, Unlimited};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The options that a user may set. They neither name files nor change anything outside of the session.
const PERMITTED: [(&str, Limit); 53] = [
    // Buffers, for each CPU.
    ("aggsize", Size(256 * MIB)),
    ("bufsize", Size(256 * MIB)),
    ("bpflogsize", Size(256 * MIB)),
    ("dynvarsize", Size(256 * MIB)),
    // Each of `nspec` speculations may take `specsize`.
    ("specsize", Size(16 * MIB)),
    ("nspec", Number(256)),
    // What a single firing takes, for each CPU.
    ("strsize", Size(MIB)),
    ("scratchsize", Size(16 * MIB)),
    ("jstackstrsize", Size(MIB)),
    ("pcapsize", Size(64 * KIB)),
    ("printsize", Size(64 * KIB)),
    ("maxframes", Number(4096)),
    ("stackframes", Number(4096)),
    ("ustackframes", Number(4096)),
    ("jstackframes", Number(4096)),
    // Printed for each frame.
    ("stackindent", Number(1024)),
    ("aggsortpos", Number(1024)),
    ("aggsortkeypos", Number(1024)),
    // Linux is built for at most 8192 CPUs.
    ("cpu", Number(8191)),
    // Descriptors for processes whose symbols are looked up.
    ("pgmax", Number(256)),
    ("aggrate", Interval(100_000)),
    ("cleanrate", Interval(100_000)),
    ("statusrate", Interval(100_000)),
    ("switchrate", Interval(100_000)),
    // The worker's own limit of locked memory.
    ("lockmem", Unlimited),
    // Flags and words.
    ("aggpercpu", Any),
    ("aggsortkey", Any),
    ("aggsortrev", Any),
    ("amin", Any),
    ("argref", Any),
    ("bpflog", Any),
    ("bufpolicy", Any),
    ("bufresize", Any),
    ("defaultargs", Any),
    ("empty", Any),
    ("errtags", Any),
    ("evaltime", Any),
    ("flowindent", Any),
    ("kdefs", Any),
    ("knodefs", Any),
    ("late", Any),
    ("lazyload", Any),
    ("noresolve", Any),
    ("pspec", Any),
    ("quiet", Any),
    ("quietresize", Any),
    ("rawbytes", Any),
    ("stdc", Any),
    ("udefs", Any),
    ("unodefs", Any),
    ("verbose", Any),
    ("version", Any),
    ("zdefs", Any),
];

/// Returns the limit of an option; `None` if it is not permitted at all.
pub(super) fn of_option(name: &str) -> Option<Limit> {
    PERMITTED.iter().find(|(permitted, _)| *permitted == name).map(|(_, limit)| *limit)
}

impl Limit {
    /// Returns what the value must be, if it is not.
    pub(super) fn violated(self, value: Option<&str>) -> Option<String> {
        // Without a value, an option is 0 or on.
        let value = value?;
        let (holds, bound) = match self {
            Any => return None,
            Size(most) => (
                size_of(value).is_some_and(|size| size <= most),
                format!("a size of at most {}", in_units(most)),
            ),
            Number(most) => (
                number_of(value).is_some_and(|number| number <= most),
                format!("a number of at most {most}"),
            ),
            Interval(least) => (
                interval_of(value).is_some_and(|interval| interval == 0 || interval >= least),
                format!("0 or an interval of at least {} µs", least / 1000),
            ),
            Unlimited => {
                (value == "unlimited" || size_of(value).is_some(), "a size or unlimited".to_owned())
            }
        };
        (!holds).then(|| format!("{value} is not {bound}"))
    }
}

fn in_units(bytes: u64) -> String {
    if bytes >= MIB { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes / KIB) }
}

/// Parses an integer in C's notation.
fn integer(text: &str) -> Option<u64> {
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0", 8)];
    let based =
        prefixes.iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = based.filter(|_| text != "0").unwrap_or((text, 10));
    // Rust accepts a sign here.
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// Parses a size as libdtrace does: an integer, with an optional unit.
fn size_of(value: &str) -> Option<u64> {
    let (digits, shift) = match value.char_indices().last()? {
        (at, 'k' | 'K') => (&value[..at], 10),
        (at, 'm' | 'M') => (&value[..at], 20),
        (at, 'g' | 'G') => (&value[..at], 30),
        (at, 't' | 'T') => (&value[..at], 40),
        _ => (value, 0),
    };
    integer(digits)?.checked_mul(1 << shift)
}

/// Parses a number as libdtrace does: an integer, or a word for yes or no.
fn number_of(value: &str) -> Option<u64> {
    const YES: [&str; 6] = ["yes", "enable", "enabled", "true", "on", "set"];
    const NO: [&str; 7] = ["", "no", "disable", "disabled", "false", "off", "unset"];
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    match value {
        _ if is_one_of(&YES) => Some(1),
        _ if is_one_of(&NO) => Some(0),
        _ => integer(value),
    }
}

/// Parses an interval in nanoseconds as libdtrace does: an integer, with an optional unit of time or frequency.
fn interval_of(value: &str) -> Option<u64> {
    const UNITS: [(&[&str], u64); 7] = [
        (&["", "ns", "nsec"], 1),
        (&["us", "usec"], 1000),
        (&["ms", "msec"], 1_000_000),
        (&["s", "sec"], 1_000_000_000),
        (&["m", "min"], 60 * 1_000_000_000),
        (&["h", "hour"], 3600 * 1_000_000_000),
        (&["d", "day"], 86_400 * 1_000_000_000),
    ];
    const SECOND: u64 = 1_000_000_000;
    let is_hexadecimal = value.starts_with("0x") || value.starts_with("0X");
    let is_digit = |c: char| {
        if is_hexadecimal { c.is_ascii_hexdigit() || "xX".contains(c) } else { c.is_ascii_digit() }
    };
    let end = value.find(|c| !is_digit(c)).unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    let number = integer(digits)?;
    if unit.eq_ignore_ascii_case("hz") {
        return match SECOND.checked_div(number) {
            None => Some(0),
            // libdtrace rounds more than one per nanosecond to 0, which is not what the user meant.
            Some(0) => None,
            interval => interval,
        };
    }
    let is_unit = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
    let (_, factor) = UNITS.iter().find(|(names, _)| is_unit(names))?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_and_one_more_is_too_much() {
        for (name, limit) in PERMITTED {
            let (within, beyond) = match limit {
                Any => continue,
                Size(most) | Number(most) => (most, most + 1),
                Interval(least) => (least, least - 1),
                Unlimited => continue,
            };
            assert_eq!(limit.violated(Some(&within.to_string())), None, "{name}");
            let why = limit.violated(Some(&beyond.to_string())).expect("it is too much");
            assert!(why.starts_with(&beyond.to_string()), "{name}: {why}");
            for no_number in ["-1", " 1", "1 ", "1x", "18446744073709551616", "99999999999t"] {
                assert!(limit.violated(Some(no_number)).is_some(), "{name}={no_number}");
            }
            assert_eq!(limit.violated(None), None, "{name}");
        }
        assert_eq!(Unlimited.violated(Some("unlimited")), None);
        assert!(Unlimited.violated(Some("limited")).is_some());
    }

    #[test]
    fn values_are_read_as_libdtrace_reads_them() {
        for (text, size) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4k", Some(4096)),
            ("1G", Some(1 << 30)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0b11", Some(3)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("+1", None),
            ("4 k", None),
            ("99999999t", None),
        ] {
            assert_eq!(size_of(text), size, "{text}");
        }
        for (text, number) in
            [("7", Some(7)), ("ON", Some(1)), ("off", Some(0)), ("", Some(0)), ("7k", None)]
        {
            assert_eq!(number_of(text), number, "{text}");
        }
        for (text, interval) in [
            ("5", Some(5)),
            ("5us", Some(5000)),
            ("2MSEC", Some(2_000_000)),
            ("1d", Some(86_400_000_000_000)),
            ("0x10ns", Some(16)),
            ("100hz", Some(10_000_000)),
            ("0hz", Some(0)),
            ("2000000000hz", None),
            ("010us", Some(8000)),
            ("5weeks", None),
            ("us", None),
            ("9999999999999d", None),
        ] {
            assert_eq!(interval_of(text), interval, "{text}");
        }
    }
}
