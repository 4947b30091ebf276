//! What may differ between two runs of the same program, and how is it taken out?
//!
//! In every output: the columns `CPU` and `ID` of a firing, `probe ID n` and `BPF pc n` in a
//! message, the directory that the program ran in. The rest only where a case asks for it.

use std::path::Path;
use std::str::FromStr;

/// A normalisation that a case asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalisation {
    /// `addresses`: the digits behind `0x` become one `#`.
    Addresses,
    /// `flow`: the column `CPU` of an output with `-F`.
    Flow,
    /// `numbers`: every run of decimal digits becomes one `#`.
    Numbers,
    /// `listing`: the column `ID` of `-l`.
    Listing,
    /// `sorted`: the lines are sorted, since firings of several CPUs come in any order.
    Sorted,
}

impl FromStr for Normalisation {
    type Err = String;

    fn from_str(name: &str) -> Result<Normalisation, String> {
        Ok(match name {
            "addresses" => Normalisation::Addresses,
            "flow" => Normalisation::Flow,
            "numbers" => Normalisation::Numbers,
            "listing" => Normalisation::Listing,
            "sorted" => Normalisation::Sorted,
            _ => return Err(format!("unknown normalisation {name:?}")),
        })
    }
}

/// The output without what may differ. Bytes that are no UTF-8 stay distinguishable: each becomes
/// the character of the same number in the private use area.
pub(crate) fn normalise(output: &[u8], directory: &Path, how: &[Normalisation]) -> String {
    let text = decode(output).replace(&*directory.to_string_lossy(), "{directory}");
    let has = |one| how.contains(&one);
    let mut lines: Vec<String> = text
        .split_inclusive('\n')
        .map(|line| {
            let mut line = firing(line).unwrap_or_else(|| line.to_owned());
            for before in ["probe ID ", "BPF pc "] {
                line = digits_behind(&line, before, |c| c.is_ascii_digit());
            }
            if has(Normalisation::Flow) {
                line = columns(&line, 3, "CPU").unwrap_or(line);
            }
            if has(Normalisation::Listing) {
                line = columns(&line, 5, "   ID").unwrap_or(line);
            }
            if has(Normalisation::Addresses) {
                line = digits_behind(&line, "0x", |c| c.is_ascii_hexdigit());
            }
            if has(Normalisation::Numbers) {
                line = numbers(&line);
            }
            line
        })
        .collect();
    if has(Normalisation::Sorted) {
        lines.sort();
    }
    lines.concat()
}

fn decode(output: &[u8]) -> String {
    let mut text = String::new();
    for chunk in output.utf8_chunks() {
        text.push_str(chunk.valid());
        let private = |byte: &u8| char::from_u32(0xe000 + u32::from(*byte));
        text.extend(chunk.invalid().iter().filter_map(private));
    }
    text
}

/// `  1   3624          write:entry …`: CPU in 3 columns, ID in 6, then what has a colon.
fn firing(line: &str) -> Option<String> {
    let rest = columns(line, 3, "CPU")?;
    let id = columns(rest.get(4..)?, 6, "    ID")?;
    let name = id.get(7..)?.trim_start().split(' ').next()?;
    name.contains(':').then(|| format!("CPU {id}"))
}

/// The line with a right-aligned number in its first columns replaced.
fn columns(line: &str, width: usize, with: &str) -> Option<String> {
    let digits = line.get(..width)?.trim_start_matches(' ');
    let number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let rest = &line[width..];
    (number && rest.starts_with(' ')).then(|| format!("{with}{rest}"))
}

fn digits_behind(line: &str, before: &str, digit: impl Fn(char) -> bool) -> String {
    let mut pieces = line.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(&digit);
        out.push_str(before);
        out.push_str(if rest.len() == piece.len() { "" } else { "#" });
        out.push_str(rest);
    }
    out
}

fn numbers(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            false => out.push(c),
            true if out.ends_with('#') => {}
            true => out.push('#'),
        }
    }
    out
}

/// Examples of what is taken out and of what stays.
pub(crate) fn check() -> Result<(), String> {
    use Normalisation::{Addresses, Flow, Listing, Numbers, Sorted};
    let examples: &[(&str, &[Normalisation], &str)] = &[
        ("  1   3624     write:entry   7\n", &[], "CPU     ID     write:entry   7\n"),
        ("  1   3624     no firing\n", &[], "  1   3624     no firing\n"),
        ("probe ID 1 at BPF pc 169\n", &[], "probe ID # at BPF pc #\n"),
        ("/scratch/a\n", &[], "{directory}/a\n"),
        ("0xff 1\n", &[], "0xff 1\n"),
        ("0xff 1\n", &[Addresses], "0x# 1\n"),
        ("  1  => write\n", &[Flow], "CPU  => write\n"),
        (" 3624    syscall\n", &[Listing], "   ID    syscall\n"),
        ("a12 3\n", &[Numbers], "a# #\n"),
        ("b\na\n", &[Sorted], "a\nb\n"),
    ];
    for (text, how, expected) in examples {
        let found = normalise(text.as_bytes(), Path::new("/scratch"), how);
        if found != *expected {
            return Err(format!("{text:?} with {how:?} became {found:?}, not {expected:?}"));
        }
    }
    let bytes = [b"\xff".as_slice(), b"\xfe"].map(|it| normalise(it, Path::new("/scratch"), &[]));
    if bytes[0] == bytes[1] { Err("bytes that are no UTF-8 look the same".into()) } else { Ok(()) }
}
