//! Which arguments does a printf format take, and how does it read them?

use crate::value::Sign;

/// One argument that a format takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conversion(char);

impl Conversion {
    /// Whether the conversion reads its argument as signed.
    pub(crate) fn sign(self) -> Sign {
        match self.0 {
            'd' | 'i' | 'c' | '*' => Sign::Signed,
            'u' | 'x' | 'X' | 'o' | 'p' | 'a' | 'A' | 'Y' | 'T' => Sign::Unsigned,
            _ => Sign::Unknown,
        }
    }

    /// Whether the conversion prints a stack.
    pub(crate) fn is_stack(self) -> bool {
        self.0 == 'k'
    }
}

/// The conversions of a format in the order of their arguments; a `*` takes one of its own. See
/// "Output Formatting" in the DTrace guide: flags, width, precision, size prefixes, conversion.
pub(crate) fn conversions(format: &str) -> Vec<Conversion> {
    let mut found = Vec::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            continue;
        }
        for c in rest.by_ref() {
            match c {
                '%' => break,
                '*' => found.push(Conversion('*')),
                // Flags, width, precision, and sizes, which D finds out by itself.
                ' '
                | '#'
                | '+'
                | '-'
                | '\''
                | '('
                | '?'
                | '.'
                | '@'
                | '0'..='9'
                | 'h'
                | 'l'
                | 'L'
                | 'w' => {}
                conversion => {
                    found.push(Conversion(conversion));
                    break;
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_widths_and_sizes_are_passed_over() {
        let signs: Vec<Sign> =
            conversions("%-16.3lld 100%% %*s %#hx").into_iter().map(Conversion::sign).collect();
        assert_eq!(signs, [Sign::Signed, Sign::Signed, Sign::Unknown, Sign::Unsigned]);
    }

    #[test]
    fn a_format_that_breaks_off_takes_no_argument() {
        assert!(conversions("100%").is_empty());
        assert!(conversions("%-5").is_empty());
    }
}
