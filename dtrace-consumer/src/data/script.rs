//! D programs to compile.

use super::plain_calls::traces_others;

/// A D program, with its name in messages and its macro arguments.
///
/// Functions that take a script also accept its text. Use `Script` to set a name or arguments, or for a bare
/// probe description.
/// ```
/// use dtrace_consumer::Script;
///
/// let script = Script::new("syscall::$$1:entry { @ = count(); }").args(["openat"]);
/// # let _ = script;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The name in messages: that of the file, or `script` for text.
    pub(crate) name: String,
    /// `$0` of the script.
    pub(crate) argument_zero: String,
    pub(crate) text: Vec<u8>,
    /// `$1`, `$2`… of the script.
    pub(crate) arguments: Vec<String>,
    /// What kind of description a bare probe description is; `None` for a whole script.
    pub(crate) specifier: Option<Specifier>,
}

impl Script {
    /// Creates a script from D text. Messages call it `script`.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Script {
        let name = "script".to_owned();
        Script {
            argument_zero: name.clone(),
            name,
            text: text.into(),
            arguments: Vec::new(),
            specifier: None,
        }
    }

    /// Sets the script's name in messages, which is also its `$0`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Script {
        self.name = name.into();
        self.argument_zero.clone_from(&self.name);
        self
    }

    /// Sets the macro arguments `$1`, `$2`… As strings, a script refers to them by `$$1`, `$$2`…
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Script {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Returns whether one of the words occurs in the text, comments included.
    pub(crate) fn mentions(&self, words: &[&str]) -> bool {
        words_of(&String::from_utf8_lossy(&self.text)).any(|word| words.contains(&word))
    }

    /// Returns whether libdtrace will probably read the kernel's types to compile this. Only time depends on it.
    pub(crate) fn seems_to_need_types(&self) -> bool {
        /// Words of scripts that use the kernel's types, and providers whose arguments have such types.
        const WORDS: [&str; 20] = [
            "execname",
            "ppid",
            "progenyof",
            "args",
            "xlate",
            "curthread",
            "curpsinfo",
            "curlwpsinfo",
            "struct",
            "union",
            "rawtp",
            "sdt",
            "fbt",
            "rawfbt",
            "io",
            "ip",
            "tcp",
            "udp",
            "sched",
            "proc",
        ];
        self.mentions(&WORDS) || traces_others(&String::from_utf8_lossy(&self.text))
    }

    /// Returns whether the code uses a macro variable, such as `target` for `$target`.
    pub(crate) fn uses_macro(&self, name: &str) -> bool {
        let code = code_of(&String::from_utf8_lossy(&self.text), Directives::Keep);
        code.split('$')
            .skip(1)
            .any(|rest| words_of(rest).next() == Some(name) && rest.starts_with(name))
    }
}

impl From<&str> for Script {
    fn from(text: &str) -> Script {
        Script::new(text)
    }
}

impl From<String> for Script {
    fn from(text: String) -> Script {
        Script::new(text)
    }
}

impl From<&String> for Script {
    fn from(text: &String) -> Script {
        Script::new(text.as_str())
    }
}

/// Returns the words of a D text: identifiers, keywords, numbers.
pub(crate) fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// What becomes of the lines of a D text that begin with `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directives {
    /// The preprocessor may insert their text elsewhere.
    Keep,
    Remove,
}

/// Returns D source without comments and strings, which contain no names.
pub(crate) fn code_of(text: &str, directives: Directives) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            end_of_string(rest)
        } else if c == '#' && directives == Directives::Remove {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// Returns where the string at the start of `text` ends.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What a program that is a single word describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Specifier {
    /// A provider, as with `dtrace -P`.
    Provider,
    /// A module, as with `dtrace -m`.
    Module,
    /// A function, as with `dtrace -f`.
    Function,
    /// A probe's name or number, as with `dtrace -n` and `dtrace -i`.
    Name,
}

impl Specifier {
    pub(crate) const ALL: [Specifier; 4] =
        [Specifier::Provider, Specifier::Module, Specifier::Function, Specifier::Name];

    /// Returns libdtrace's number, the same on every platform (`dtrace_probespec_t`).
    pub(crate) fn number(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_macro_is_used_outside_comments_and_strings_only() {
        for (text, uses) in [
            ("syscall:::entry /pid == $target/ { }", true),
            ("/* one */ pid$target:::entry /* two */ { }", true),
            ("/* $target */ BEGIN { } /* $target", false),
            ("BEGIN { trace($targets); target = $1; trace($ target); }", false),
            (r#"BEGIN { printf("$target /*"); } /* */ END { trace("\"$target"); }"#, false),
            (r#"BEGIN { printf("/*"); trace($target); }"#, true),
            ("#define T pid$target", true),
            ("", false),
        ] {
            assert_eq!(Script::new(text).uses_macro("target"), uses, "{text}");
        }
    }
}
