//! Prints the records of `printf()` as libdtrace does, where a format has only numbers, characters and strings.
//!
//! libdtrace calls vfprintf(3) once or more for each conversion, which is most of what the text of a record costs. What
//! this module does not know (precisions, flags other than `-` and `0`, `%a`, `%Y` and so on) is left to libdtrace, and
//! so is a clause that prints anything else.

use std::io::Write;
use std::iter;
use std::ops::Range;

use super::platform;
use crate::data::integer::{Integer, Sign};
use crate::data::nul::up_to_nul;
use crate::data::record::{Action, RecordDescription};
use crate::records::format::specifications;
use crate::stream::payload::FiringFrame;

/// Prints the firings of a clause.
#[derive(Debug)]
pub(super) struct Printer {
    calls: Vec<Call>,
}

/// A call of `printf()`.
#[derive(Debug)]
struct Call {
    /// The index of its first record.
    record: u32,
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Conversion, Range<usize>),
}

/// A conversion, and how its text is padded.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Conversion {
    kind: Kind,
    /// Whether the number has 64 bits.
    is_long: bool,
    width: usize,
    /// Whether blanks follow the text. Otherwise they precede it.
    is_left: bool,
    /// Whether zeros take the place of the blanks that precede a number.
    has_zeros: bool,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Signed,
    Unsigned,
    Octal,
    LowerHexadecimal,
    UpperHexadecimal,
    Character,
    String,
}

/// The greatest width that is handled here.
const WIDEST: usize = 255;

impl Printer {
    /// Returns what prints a clause with these records; `None` if only libdtrace can.
    pub(super) fn of(records: &[RecordDescription]) -> Option<Printer> {
        let mut calls = Vec::new();
        let mut rest = records.iter().enumerate().peekable();
        while let Some((index, first)) = rest.next() {
            match first.action {
                // It prints nothing.
                Action::Exit => continue,
                Action::Printf => {}
                _ => return None,
            }
            let format = first.format.as_deref()?;
            let mut arguments = vec![first];
            let is_argument = |it: &(usize, &RecordDescription)| {
                it.1.action == Action::Printf && it.1.format.is_none()
            };
            while let Some((_, argument)) = rest.next_if(is_argument) {
                arguments.push(argument);
            }
            let pieces = pieces(format, &arguments)?;
            calls.push(Call { record: u32::try_from(index).ok()?, pieces });
        }
        Some(Printer { calls })
    }

    /// Appends the text of a firing with this data, and where the text of each call ends: the index of its first
    /// record, and the length of the text.
    pub(super) fn print(&self, data: &[u8], text: &mut Vec<u8>, ends: &mut Vec<u8>) {
        for call in &self.calls {
            for piece in &call.pieces {
                match piece {
                    Piece::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                    Piece::Value(conversion, place) => {
                        let bytes = data.get(place.clone()).unwrap_or_default();
                        conversion.print(bytes, text);
                    }
                }
            }
            FiringFrame::end_text(ends, call.record, text.len());
        }
    }
}

/// Returns the pieces of a call's text.
fn pieces(format: &str, arguments: &[&RecordDescription]) -> Option<Vec<Piece>> {
    // Bytes that are not UTF-8 have become this character. An empty format was too long to be described.
    if format.is_empty() || format.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut unused = arguments.iter();
    let mut text_from = 0;
    for specification in specifications(format) {
        let place = specification.place;
        add(&format[text_from..place.start], &mut pieces);
        text_from = place.end;
        if &format[place.clone()] == "%%" {
            add("%", &mut pieces);
            continue;
        }
        let conversion = Conversion::parse(&format.as_bytes()[place])?;
        let argument = unused.next()?;
        if !conversion.takes(argument) {
            return None;
        }
        let start = argument.offset as usize;
        pieces.push(Piece::Value(conversion, start..start.checked_add(argument.size as usize)?));
    }
    add(&format[text_from..], &mut pieces);
    // A call without arguments has a record all the same.
    (unused.len() == 0 || arguments.len() == 1).then_some(pieces)
}

/// Adds text to the last piece.
fn add(text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

impl Conversion {
    /// Parses a specification.
    fn parse(specification: &[u8]) -> Option<Conversion> {
        let mut rest = specification.strip_prefix(b"%")?;
        let (mut is_left, mut has_zeros, mut width) = (false, false, 0);
        while let Some((flag @ (b'-' | b'0'), after)) = rest.split_first() {
            is_left |= *flag == b'-';
            has_zeros |= *flag == b'0';
            rest = after;
        }
        while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
            width = width * 10 + usize::from(digit - b'0');
            if width > WIDEST {
                return None;
            }
            rest = after;
        }
        let is_long = rest.starts_with(b"ll");
        let [letter] = rest[if is_long { 2 } else { 0 }..] else { return None };
        let kind = match letter {
            b'd' if !is_long && platform::SHORTS_LOSE_THEIR_SIGN => return None,
            b'd' | b'i' => Kind::Signed,
            b'u' => Kind::Unsigned,
            b'o' => Kind::Octal,
            b'x' => Kind::LowerHexadecimal,
            b'X' => Kind::UpperHexadecimal,
            b'c' => Kind::Character,
            b's' => Kind::String,
            _ => return None,
        };
        let is_number = !matches!(kind, Kind::Character | Kind::String);
        let has_zeros = has_zeros && !is_left;
        let conversion = Conversion { kind, is_long, width, is_left, has_zeros };
        (is_number || !is_long && !has_zeros).then_some(conversion)
    }

    /// Returns whether it can print a record.
    fn takes(self, r: &RecordDescription) -> bool {
        match self.kind {
            Kind::String => true,
            _ if self.is_long => r.size == 8,
            _ => matches!(r.size, 1 | 2 | 4),
        }
    }

    /// Appends a record's text.
    fn print(self, bytes: &[u8], text: &mut Vec<u8>) {
        let start = text.len();
        let number = Integer::from_bytes(bytes, Sign::Unknown);
        let (signed, unsigned) = number.map_or((0, 0), |it| (it.as_i64(), it.as_u64()));
        // Writing to a vector does not fail.
        let _ = match self.kind {
            Kind::Signed => write!(text, "{signed}"),
            Kind::Unsigned => write!(text, "{unsigned}"),
            Kind::Octal => write!(text, "{unsigned:o}"),
            Kind::LowerHexadecimal => write!(text, "{unsigned:x}"),
            Kind::UpperHexadecimal => write!(text, "{unsigned:X}"),
            Kind::Character => text.write_all(&[unsigned as u8]),
            Kind::String => text.write_all(up_to_nul(bytes)),
        };
        let missing = self.width.saturating_sub(text.len() - start);
        if missing == 0 {
            return;
        }
        let (at, padding) = match (self.is_left, self.has_zeros) {
            (true, _) => (text.len(), b' '),
            (_, true) => (start + usize::from(text[start..].starts_with(b"-")), b'0'),
            _ => (start, b' '),
        };
        text.splice(at..at, iter::repeat_n(padding, missing));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(action: Action, offset: u32, size: u32, format: Option<&str>) -> RecordDescription {
        let format = format.map(str::to_owned);
        RecordDescription { action, offset, size, alignment: 8, argument: 0, format }
    }

    fn printed(printer: &Printer, data: &[u8]) -> (String, Vec<u8>) {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        printer.print(data, &mut text, &mut ends);
        (String::from_utf8(text).expect("text"), ends)
    }

    /// What a format prints of one number that is as long as this.
    fn one(format: &str, bytes: &[u8]) -> Option<String> {
        let size = u32::try_from(bytes.len()).expect("short");
        let printer = Printer::of(&[record(Action::Printf, 0, size, Some(format))])?;
        Some(printed(&printer, bytes).0)
    }

    /// What is expected of the lowest bits of a number.
    fn expected(number: i64, bits: usize, flags: &str, width: usize, letter: char) -> String {
        let unused = 64 - bits;
        let (signed, unsigned) =
            (number << unused >> unused, number.cast_unsigned() << unused >> unused);
        let (sign, digits) = match letter {
            'd' | 'i' if signed < 0 => ("-", signed.unsigned_abs().to_string()),
            'o' => ("", format!("{unsigned:o}")),
            'x' => ("", format!("{unsigned:x}")),
            'X' => ("", format!("{unsigned:X}")),
            _ => ("", unsigned.to_string()),
        };
        let rest = width.saturating_sub(sign.len());
        match flags {
            flags if flags.contains('-') => format!("{:<width$}", format!("{sign}{digits}")),
            flags if flags.contains('0') => format!("{sign}{digits:0>rest$}"),
            _ => format!("{:>width$}", format!("{sign}{digits}")),
        }
    }

    proptest! {
        #[test]
        fn numbers_have_their_digits_and_padding(
            number: i64,
            size in prop::sample::select(vec![1, 2, 4, 8]),
            flags in "[-0]{0,2}",
            width in 0..=WIDEST,
            letter in prop::sample::select(vec!['d', 'i', 'u', 'o', 'x', 'X']),
        ) {
            let bytes = &number.to_ne_bytes()[..];
            let bytes = if cfg!(target_endian = "little") { &bytes[..size] } else { &bytes[8 - size..] };
            let expected = format!("<{}>", expected(number, 8 * size, &flags, width, letter));
            let width = if width == 0 { String::new() } else { width.to_string() };
            let long = if size == 8 { "ll" } else { "" };
            // Without `ll`, `d` is what `%hd` has become.
            let letter = match letter {
                'd' if size < 8 && platform::SHORTS_LOSE_THEIR_SIGN => 'i',
                letter => letter,
            };
            let format = format!("<%{flags}{width}{long}{letter}>");
            prop_assert_eq!(one(&format, bytes), Some(expected));
        }
    }

    #[test]
    fn characters_and_strings_end_and_are_padded_as_in_c() {
        for (format, bytes, expected) in [
            ("%s|", &b"text\0rest"[..], "text|"),
            ("%s|", b"whole", "whole|"),
            ("%8s|", b"text\0", "    text|"),
            ("%-8s|", b"text\0", "text    |"),
            ("%2s|", b"text\0", "text|"),
            ("%c|", b"c", "c|"),
            ("%-3c|%%", b"c", "c  |%"),
            ("%c", &0x0163i32.to_ne_bytes(), "c"),
            ("none %%d %%\n", b"", "none %d %\n"),
            // Elsewhere than on Linux, this is a record with a number.
            ("none", &[1; 8], "none"),
            ("%i %%", &[255], "-1 %"),
        ] {
            assert_eq!(one(format, bytes).as_deref(), Some(expected), "{format}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_to_libdtrace() {
        for format in [
            "",
            "%",
            "%5",
            "%.3d",
            "%+d",
            "% d",
            "%#x",
            "%'d",
            "%*d",
            "%?p",
            "%p",
            "%a",
            "%A",
            "%k",
            "%Y",
            "%S",
            "%C",
            "%f",
            "%@d",
            "%256d",
            "%05c",
            "%0s",
            "%5%",
            "\u{fffd}%d",
            "%d %d",
            "%hd",
            "%ld",
            "%lld",
            "%lc",
            "%ls",
            "%wc",
            "%ws",
        ] {
            assert_eq!(one(format, &[0; 4]), None, "{format}");
        }
        assert_eq!(one("%i", &[0; 3]), None);
        assert_eq!(one("%i", &[0; 8]), None);
        assert_eq!(one("%c", &[0; 8]), None);
        for action in [Action::Trace, Action::Printa, Action::Stack, Action::System] {
            let first = record(Action::Printf, 0, 0, Some("text"));
            assert!(Printer::of(&[first, record(action, 0, 4, None)]).is_none(), "{action}");
        }
        let two = [record(Action::Printf, 0, 4, Some("%i")), record(Action::Printf, 4, 4, None)];
        assert!(Printer::of(&two).is_none(), "an argument too many");
        assert!(Printer::of(&two[1..]).is_none(), "no format");
    }

    #[test]
    fn each_call_ends_at_its_first_record() {
        let records = [
            record(Action::Printf, 0, 4, Some("a=%i b=%u\n")),
            record(Action::Printf, 4, 4, None),
            record(Action::Exit, 8, 4, None),
            record(Action::Printf, 12, 0, Some("end")),
        ];
        let printer = Printer::of(&records).expect("it knows all of it");
        let data: Vec<u8> = [-1i32, -1, 0].iter().flat_map(|it| it.to_ne_bytes()).collect();
        let (text, ends) = printed(&printer, &data);
        assert_eq!(text, "a=-1 b=4294967295\nend");
        let expected: Vec<u8> = [0u32, 18, 3, 21].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(ends, expected);
    }
}
