//! How do texts of a recording become names, literals and comments in Rust?

use std::collections::HashSet;

/// How much of a text a comment shows, in characters.
const MOST_SHOWN: usize = 60;

/// The keywords of Rust, including the reserved ones.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern \
    false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self \
    static struct super trait true try type typeof unsafe unsized use virtual where while yield";

/// Names that the program uses for something else.
const TYPES: &str =
    "Clone Debug Err Failure None Ok Option PartialEq Result Self Some String Value Vec";

/// Names of one kind, each of which is given once.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of_structures() -> Names {
        Names(TYPES.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn of_fields() -> Names {
        Names(KEYWORDS.split_whitespace().map(str::to_owned).collect())
    }

    /// Returns the name, or if it is taken one that begins with it.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        // Structures have no underscores.
        let dash = if wanted.starts_with(|c: char| c.is_ascii_uppercase()) { "" } else { "_" };
        let candidates = (2u64..).map(|n| format!("{wanted}{dash}{n}"));
        // A keyword with an underscore is what people write.
        let underscored = format!("{wanted}_");
        let is_keyword = KEYWORDS.split(' ').any(|keyword| keyword == wanted);
        let first = if is_keyword { underscored } else { wanted.to_owned() };
        let free = std::iter::once(first).chain(candidates).find(|name| !self.0.contains(name));
        let name = free.unwrap_or_default();
        self.0.insert(name.clone());
        name
    }
}

/// Returns the name of a field: lower case, with underscores. `None` if the text has no usable character.
pub(super) fn snake(text: &str) -> Option<String> {
    let words: Vec<String> = words(text).map(|word| word.to_ascii_lowercase()).collect();
    let name = words.join("_");
    match name.chars().next() {
        None => None,
        Some(first) if first.is_ascii_digit() => Some(format!("_{name}")),
        Some(_) => Some(name),
    }
}

/// Returns the name of a structure: each word begins with a capital.
pub(super) fn camel(text: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    let name: String = words(text).map(capital).collect();
    match name.chars().next() {
        None => "Row".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("Row{name}"),
        Some(_) => name,
    }
}

/// Returns the words of a text: letters and digits of ASCII.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// Returns a string literal.
pub(super) fn literal(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}

/// Returns the beginning of a text for a comment, in backticks and in one line.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(MOST_SHOWN).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    // Quotes need no escape in a comment, and a backtick would end the text.
    let start = start.escape_default().to_string().replace("\\\"", "\"").replace("\\'", "'");
    format!("`{}{dots}`", start.replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_differ() {
        let mut names = Names::of_fields();
        let wanted = ["type", "type", "self", "seq", "seq", "seq", "seq_2"];
        let given: Vec<String> = wanted.iter().map(|name| names.unique(name)).collect();
        assert_eq!(given, ["type_", "type_2", "self_", "seq", "seq_2", "seq_3", "seq_2_2"]);
        assert_eq!(snake("Bytes sent/é"), Some("bytes_sent".to_owned()));
        assert_eq!((snake("2nd").as_deref(), snake("é")), (Some("_2nd"), None));
        assert_eq!(
            (camel("net_dev queue"), camel("::"), camel("64")),
            ("NetDevQueue".into(), "Row".into(), "Row64".into())
        );
    }

    #[test]
    fn no_text_ends_a_literal_or_a_comment() {
        for text in
            ["\"; panic!(); \"", "a\nfn f() {}", "*/", "\u{202e}", "{x}", "`", "\\", "\r", "\0"]
        {
            let (literal, shown) = (literal(text), shown(text));
            for made in [&literal, &shown] {
                assert!(made.is_ascii() && !made.contains(['\n', '\r', '\0']), "{made}");
            }
            let inner = &literal[1..literal.len() - 1];
            assert!(!inner.replace("\\\\", "").replace("\\\"", "").contains('"'), "{literal}");
            assert_eq!(shown.matches('`').count(), 2, "{shown}");
        }
        assert_eq!(shown(&"x".repeat(100)).chars().count(), MOST_SHOWN + 3);
    }
}
