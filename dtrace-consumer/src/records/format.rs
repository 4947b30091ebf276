//! Parses printf formats: their arguments, and how they read them.

use std::ops::Range;

use crate::data::integer::Sign;

/// A conversion of a format, which takes one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conversion {
    letter: char,
    /// Whether it takes the value of an aggregation, as `%@d` does.
    is_aggregated: bool,
    /// The name in the text before it, as in `seq=%u`, `seq: %u` and `"seq":"%u"`.
    pub(crate) name: Option<String>,
}

impl Conversion {
    /// Returns the sign with which the conversion reads its argument.
    pub(crate) fn sign(&self) -> Sign {
        match self.letter {
            'd' | 'i' | 'c' | '*' => Sign::Signed,
            'u' | 'x' | 'X' | 'o' | 'p' | 'a' | 'A' | 'Y' | 'T' => Sign::Unsigned,
            _ => Sign::Unknown,
        }
    }

    /// Returns whether the conversion prints addresses as functions: `%k`, `%a` or `%A`.
    pub(crate) fn names_addresses(&self) -> bool {
        matches!(self.letter, 'k' | 'a' | 'A')
    }

    /// Returns whether the conversion prints a key, if the format is that of `printa()`.
    pub(crate) fn takes_key(&self) -> bool {
        !self.is_aggregated && self.letter != '*'
    }

    /// Returns whether the conversion prints a stack.
    pub(crate) fn is_stack(&self) -> bool {
        self.letter == 'k'
    }
}

/// A `%` of a format, and what belongs to it: flags, width, precision, size prefixes and conversion. See "Output
/// Formatting" in the DTrace guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Specification {
    pub(crate) place: Range<usize>,
    /// `%` for a percent sign; `None` if the format ends before the conversion.
    letter: Option<char>,
}

/// Returns the specifications of a format.
pub(crate) fn specifications(format: &str) -> Vec<Specification> {
    const BEFORE_LETTER: &str = "* #+-'(?.@0123456789hlLw";
    let mut found = Vec::new();
    let mut rest = format.char_indices();
    while let Some((start, c)) = rest.next() {
        if c != '%' {
            continue;
        }
        let letter = rest.by_ref().find(|(_, c)| !BEFORE_LETTER.contains(*c));
        let end = letter.map_or(format.len(), |(at, letter)| at + letter.len_utf8());
        found.push(Specification { place: start..end, letter: letter.map(|(_, letter)| letter) });
    }
    found
}

/// Returns the conversions of a format in the order of their arguments. A `*` takes an argument, too.
pub(crate) fn conversions(format: &str) -> Vec<Conversion> {
    let mut found = Vec::new();
    let mut text_from = 0;
    for Specification { place, letter } in specifications(format) {
        let mut is_aggregated = false;
        for c in format[place.clone()].chars() {
            match c {
                '*' => found.push(Conversion { letter: '*', is_aggregated, name: None }),
                '@' => is_aggregated = true,
                _ => {}
            }
        }
        if let Some(letter) = letter.filter(|letter| *letter != '%') {
            let name = name_before(&format[text_from..place.start]);
            text_from = place.end;
            found.push(Conversion { letter, is_aggregated, name });
        }
    }
    found
}

/// Replaces the text before, between and after the conversions of a format.
pub(crate) fn with_texts(format: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut replaced = String::with_capacity(format.len());
    let mut text_from = 0;
    for Specification { place, .. } in specifications(format) {
        replaced += &replace(&format[text_from..place.start]);
        replaced += &format[place.clone()];
        text_from = place.end;
    }
    replaced + &replace(&format[text_from..])
}

/// Returns the word before an equals sign or colon at the end of a text.
fn name_before(text: &str) -> Option<String> {
    let around = |c: char| c == ' ' || c == '"';
    let text = text.trim_end_matches(around).strip_suffix(['=', ':'])?.trim_end_matches(around);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &text[text.trim_end_matches(is_word).len()..];
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_widths_and_sizes_are_passed_over() {
        let signs: Vec<Sign> =
            conversions("%-16.3lld 100%% %*s %#hx").iter().map(Conversion::sign).collect();
        assert_eq!(signs, [Sign::Signed, Sign::Signed, Sign::Unknown, Sign::Unsigned]);
    }

    #[test]
    fn the_text_before_a_conversion_names_it() {
        let names = |format| -> Vec<Option<String>> {
            conversions(format).into_iter().map(|c| c.name).collect()
        };
        let named = [Some("seq".to_owned()), Some("state".to_owned())];
        assert_eq!(names("seq=%u state=%s\n"), named);
        assert_eq!(names("seq: %u, state: %s"), named);
        assert_eq!(names(r#"{"seq":%u,"state":"%s"}"#), named);
        assert_eq!(names("%u at %s"), [None, None]);
        assert_eq!(names("12:%d"), [None]);
    }

    #[test]
    fn keys_are_told_from_the_values_of_aggregations() {
        let keys = conversions("%-20k %A %@d %5@x %@*u %p%%");
        let keys: String = keys.iter().filter(|it| it.takes_key()).map(|it| it.letter).collect();
        assert_eq!(keys, "kAp");
    }

    #[test]
    fn a_format_that_breaks_off_takes_no_argument() {
        assert!(conversions("100%").is_empty());
        assert!(conversions("%-5").is_empty());
    }
}
