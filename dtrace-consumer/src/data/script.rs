//! What is a D program to compile, and what is asked of its text before that?

/// A D program, with the name that messages use for it and its macro arguments.
///
/// Text becomes a script by itself wherever one is wanted; `Script` is for those that have a name,
/// arguments, or are a bare probe description.
///
/// ```
/// use dtrace_consumer::Script;
///
/// let script = Script::new("syscall::$$1:entry { @ = count(); }").args(["openat"]);
/// # let _ = script;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What messages call it: a file's name, or `script` for text.
    pub(crate) name: String,
    /// `$0` of the script.
    pub(crate) argument_zero: String,
    pub(crate) text: Vec<u8>,
    /// `$1`, `$2`… of the script.
    pub(crate) arguments: Vec<String>,
    /// What a program that is a bare probe description describes; `None` for a whole script.
    pub(crate) specifier: Option<Specifier>,
}

impl Script {
    /// Makes a script of D text. Messages call it `script`.
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

    /// Sets what messages call the script, and what it sees as `$0`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Script {
        self.name = name.into();
        self.argument_zero.clone_from(&self.name);
        self
    }

    /// Sets the macro arguments `$1`, `$2`… A script refers to them as numbers, or as strings by
    /// `$$1`, `$$2`…
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Script {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Whether one of the words occurs in the text, be it in a comment.
    pub(crate) fn mentions(&self, words: &[&str]) -> bool {
        words_of(&String::from_utf8_lossy(&self.text)).any(|word| words.contains(&word))
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

/// What a bare word as program stands for.
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

    /// libdtrace's number, the same on every platform (`dtrace_probespec_t`).
    pub(crate) fn number(self) -> i32 {
        self as i32
    }
}
