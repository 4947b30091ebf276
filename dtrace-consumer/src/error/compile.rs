//! Which script did not compile, and where is the mistake?

use std::error::Error as StdError;
use std::fmt;

use super::stray::{Stray, columns};
use crate::data::debug::debug_as_text;
use crate::data::session_info::OmittedLibrary;

/// A script that did not compile, with the place of the mistake if that is known.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileError {
    /// The index of the script in the session, from 0.
    pub index: usize,
    /// The script's name: its file, or `script`.
    pub script: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The text of that line.
    pub source_line: Option<String>,
    /// The offset in that line of what the compiler complains about, in bytes from 0.
    pub column: Option<usize>,
    /// libdtrace's tag of the error, such as `D_SYNTAX`, if there is one.
    pub tag: Option<String>,
    /// libdtrace's message.
    pub message: String,
    /// What to do, if it is known.
    pub advice: Option<String>,
    /// Probes similar to a description that matches none.
    pub similar: Vec<String>,
    /// D libraries that were omitted, because this kernel or library cannot compile them, if the script may
    /// need something that they define.
    pub omitted: Vec<OmittedLibrary>,
}

impl CompileError {
    /// Parses libdtrace's message: `[D_TAG] line 3: message`, where tag and line are optional.
    pub(crate) fn parse(script: &str, text: &[u8], message: &str) -> CompileError {
        let mut rest = message.trim();
        let mut tag = None;
        if let Some((name, after)) = rest.strip_prefix('[').and_then(|r| r.split_once("] "))
            && name.starts_with("D_")
        {
            tag = Some(name.to_owned());
            rest = after;
        }
        let mut line = None;
        if let Some((number, after)) = rest.strip_prefix("line ").and_then(|r| r.split_once(": "))
            && let Ok(number) = number.parse()
        {
            line = Some(number);
            rest = after;
        }
        let source_line = line.and_then(|n: u32| {
            let line = text.split(|b| *b == b'\n').nth((n as usize).checked_sub(1)?)?;
            Some(String::from_utf8_lossy(line).trim_end().to_owned())
        });
        let mut message = rest.to_owned();
        let mut column = source_line.as_deref().and_then(|line| culprit(line, rest));
        let mut advice = advice(rest).map(str::to_owned);
        if rest.starts_with("syntax error")
            && let Some(stray) = Stray::in_line(&String::from_utf8_lossy(text), line.unwrap_or(1))
        {
            // libdtrace names only the first byte of the character.
            message = message.replace(
                "\"\u{fffd}\"",
                &format!("\"{}\" ({})", stray.character, stray.code_point()),
            );
            column = Some(stray.column);
            advice = Some(stray.advice());
        }
        CompileError {
            index: 0,
            script: script.to_owned(),
            line,
            source_line,
            column,
            tag,
            message,
            advice,
            similar: Vec::new(),
            omitted: Vec::new(),
        }
    }
}

/// Returns what to do about a message of the compiler.
fn advice(message: &str) -> Option<&'static str> {
    if message.contains("Undefined macro variable in probe description")
        || message.starts_with("macro argument $") && message.ends_with(" is not defined")
    {
        return Some("`Script::args` sets the arguments `$1`, `$2`…");
    }
    if message.starts_with("failed to lookup '") {
        return Some(
            "the function may be inlined, or stripped of its name; a pattern such as `*part*` finds \
             functions by a part of their names",
        );
    }
    if message.ends_with(" is an invalid probe name") {
        return Some(
            "probes of the `pid` provider are named `entry`, `return`, or by an instruction's offset in \
             hexadecimal",
        );
    }
    None
}

/// Returns where a line contains what the message names: `… near "x"`, `… : x`, `failed to resolve x`.
fn culprit(line: &str, message: &str) -> Option<usize> {
    // Further lines of the message compare declarations.
    let message = message.lines().next().unwrap_or_default();
    let quoted = message.rsplit('"').nth(1);
    let last = message.rsplit([' ', ':']).find(|w| !w.is_empty());
    let after_resolve = message
        .split_once("failed to resolve ")
        .and_then(|(_, rest)| rest.split([':', ' ']).next());
    [quoted, after_resolve, last].into_iter().flatten().filter(|w| !w.is_empty()).find_map(|word| {
        line.match_indices(word).map(|(at, _)| at).find(|at| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let before = line[..*at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let goes_on = word.starts_with(is_word) && before.is_some_and(is_word)
                || word.ends_with(is_word) && after.is_some_and(is_word);
            !goes_on
        })
    })
}

/// Formats the message, below it the line with a caret under the place, then advice, similar probes if none
/// matched, and omitted D libraries.
impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.script)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some(number), Some(line)) = (self.line, &self.source_line) {
            let margin = number.to_string();
            write!(f, "\n {margin} | {line}")?;
            if let Some(column) = self.column {
                // Keep tabs, so that the terminal aligns the caret with the character.
                let indent: String = line
                    .char_indices()
                    .take_while(|(at, _)| *at < column)
                    .map(|(_, c)| if c == '\t' { "\t" } else { &"  "[..columns(c)] })
                    .collect();
                write!(f, "\n {} | {indent}^", " ".repeat(margin.len()))?;
            }
        }
        if let Some(advice) = &self.advice {
            write!(f, "\nhelp: {advice}")?;
        }
        if !self.similar.is_empty() {
            write!(f, "\nsimilar: {}", self.similar.join(", "))?;
        }
        for OmittedLibrary { file, reason } in &self.omitted {
            write!(f, "\nthe D library {file} does not compile here and was left out: {reason}")?;
        }
        Ok(())
    }
}

impl StdError for CompileError {}

debug_as_text! {
    struct CompileError { index, script, line, source_line, column, tag, message, advice, similar, omitted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compile_error_shows_the_line_with_a_caret() {
        let text = b"BEGIN\n{\n\ttrace(foo(1));\n}\n";
        let error = CompileError::parse("script", text, "line 3: undefined function name: foo");
        assert_eq!(
            error.to_string(),
            "script, line 3: undefined function name: foo\n 3 | \ttrace(foo(1));\n   | \t      ^"
        );
    }

    #[test]
    fn the_tag_of_a_compile_error_is_told_from_its_message() {
        let message = "[D_SYNTAX] line 1: syntax error near \"}\"";
        let error = CompileError::parse("a.d", b"BEGIN { trace( }", message);
        assert_eq!(error.tag.as_deref(), Some("D_SYNTAX"));
        assert_eq!((error.line, error.column), (Some(1), Some(15)));
        assert_eq!(error.message, "syntax error near \"}\"");
    }

    #[test]
    fn a_character_that_is_not_ascii_is_named_and_marked() {
        let text = "BEGIN { printf(\"größe 大\"); trace(“x”); }";
        let error =
            CompileError::parse("a.d", text.as_bytes(), "line 1: syntax error near \"\u{fffd}\"");
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "a.d, line 1: syntax error near \"“\" (U+201C)");
        // One of the characters before it takes two columns.
        let before = lines[1].chars().take_while(|c| *c != '“').count() + 1;
        assert_eq!(lines[2].chars().position(|c| c == '^'), Some(before));
        assert!(lines[3].starts_with("help: `“` is the character U+201C"), "{shown}");
    }

    #[test]
    fn a_message_without_a_place_is_kept_whole() {
        let error = CompileError::parse("script", b"x", "probe description a:b:c:d is odd");
        assert_eq!(error.to_string(), "script: probe description a:b:c:d is odd");
    }
}
