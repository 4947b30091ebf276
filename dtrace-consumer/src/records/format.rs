//! Parses printf formats: their arguments, and how they read them.

use crate::data::integer::Sign;

/// A conversion of a format, which takes one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conversion {
    letter: char,
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

    /// Returns whether the conversion prints a stack.
    pub(crate) fn is_stack(&self) -> bool {
        self.letter == 'k'
    }
}

/// Returns the conversions of a format in the order of their arguments. A `*` takes an argument, too. See
/// "Output Formatting" in the DTrace guide: flags, width, precision, size prefixes, conversion.
pub(crate) fn conversions(format: &str) -> Vec<Conversion> {
    const FLAGS_AND_SIZES: &str = " #+-'(?.@0123456789hlLw";
    let mut found = Vec::new();
    let mut text_from = 0;
    let mut rest = format.char_indices();
    while let Some((at, c)) = rest.next() {
        if c != '%' {
            continue;
        }
        for (here, c) in rest.by_ref() {
            match c {
                '%' => break,
                '*' => found.push(Conversion { letter: '*', name: None }),
                c if FLAGS_AND_SIZES.contains(c) => {}
                letter => {
                    let name = name_before(&format[text_from..at]);
                    text_from = here + letter.len_utf8();
                    found.push(Conversion { letter, name });
                    break;
                }
            }
        }
    }
    found
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
    fn a_format_that_breaks_off_takes_no_argument() {
        assert!(conversions("100%").is_empty());
        assert!(conversions("%-5").is_empty());
    }
}
