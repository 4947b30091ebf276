//! Which character of a script does the D compiler reject, although it looks like an ordinary one?

/// A character outside of ASCII in D code, where only strings and comments may contain such characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) character: char,
    /// Its line, from 1.
    pub(super) line: u32,
    /// Its offset in the line, in bytes from 0.
    pub(super) column: usize,
}

impl Stray {
    /// Returns the first one in a line of the script, counted from 1.
    pub(super) fn in_line(text: &str, line: u32) -> Option<Stray> {
        strays(text).into_iter().find(|it| it.line == line)
    }

    /// Returns the code point, as in `U+201C`.
    pub(super) fn code_point(self) -> String {
        format!("U+{:04X}", u32::from(self.character))
    }

    /// Returns what the character is, and what to type instead.
    pub(super) fn advice(self) -> String {
        let code_point = self.code_point();
        let instead = match self.character {
            '“' | '”' | '„' | '‟' | '«' | '»' | '″' => {
                "type the ASCII quotation mark `\"`"
            }
            '‘' | '’' | '‚' | '‛' | '′' | '´' => "type the ASCII apostrophe `'`",
            '\u{2010}'..='\u{2015}' | '−' => "type the ASCII hyphen `-`",
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
                return format!(
                    "{code_point} is a space that D does not accept; type an ordinary one"
                );
            }
            '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => {
                return format!("{code_point} is an invisible character; remove it");
            }
            char::REPLACEMENT_CHARACTER => {
                return "the line contains bytes that are not UTF-8; remove them".to_owned();
            }
            _ => "D code is ASCII, except in strings and comments",
        };
        format!("`{}` is the character {code_point}; {instead}", self.character)
    }
}

/// Returns all characters outside of ASCII that are in neither a string nor a comment.
fn strays(text: &str) -> Vec<Stray> {
    let mut found = Vec::new();
    let (mut line, mut start) = (1, 0);
    let mut within = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\n' {
            (line, start) = (line + 1, at + 1);
        }
        match (within, character) {
            (None, '"' | '\'') => within = Some(character),
            (None, '/') if characters.next_if(|(_, next)| *next == '*').is_some() => {
                within = Some('*');
            }
            (None, _) if !character.is_ascii() => {
                found.push(Stray { character, line, column: at - start });
            }
            (Some('*'), '*') if characters.next_if(|(_, next)| *next == '/').is_some() => {
                within = None;
            }
            (Some('"' | '\''), '\\') => {
                characters.next_if(|(_, next)| *next != '\n');
            }
            (Some(quote @ ('"' | '\'')), _) if character == quote || character == '\n' => {
                within = None;
            }
            _ => {}
        }
    }
    found
}

/// Returns how many columns of a terminal a character takes.
pub(super) fn columns(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200f | 0x2060 | 0xfe00..=0xfe0f | 0xfeff => 0,
        // Wide characters: Chinese, Japanese, Korean, full-width forms, and emoji.
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_in_code_are_stray() {
        let text = "/* “ */ BEGIN {\n  printf(\"größe \\\" é\"); c = 'é'; naïve = 1; }\n";
        assert_eq!(Stray::in_line(text, 1), None);
        let stray = Stray::in_line(text, 2).expect("an identifier");
        assert_eq!(
            (stray.character, text.lines().nth(1).unwrap().find("ïve")),
            ('ï', Some(stray.column))
        );
    }

    #[test]
    fn what_slides_make_of_ascii_is_named_with_its_replacement() {
        for (character, expected) in [
            ('“', "`“` is the character U+201C; type the ASCII quotation mark"),
            ('–', "`–` is the character U+2013; type the ASCII hyphen"),
            ('\u{a0}', "U+00A0 is a space"),
            ('\u{feff}', "U+FEFF is an invisible character"),
            ('ï', "`ï` is the character U+00EF; D code is ASCII"),
        ] {
            let advice = Stray { character, line: 1, column: 0 }.advice();
            assert!(advice.starts_with(expected), "{advice}");
        }
    }
}
