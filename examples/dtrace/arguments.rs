//! How is the command line parsed?
//!
//! Like getopt(3) and dtrace(1) do: options may be clustered, values may be attached, and every other word
//! is an argument of the D program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use dtrace_consumer::session::{Live, Specifier};
use dtrace_consumer::{Error, Script, Session, trace};

const OPTIONS: &str = "3:6:aAb:Bc:CD:ef:FGhHi:I:lL:m:n:o:p:P:qs:SU:vVwx:X:Z";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Execute,
    List,
    Version,
    Header,
    Link,
    /// An option that this example does not support.
    Unsupported(char),
}

/// A program to compile, in the order of the command line.
pub(crate) struct Program {
    /// `None` for a script file.
    pub(crate) specifier: Option<Specifier>,
    /// The D text, or the name of the script file.
    given: OsString,
    /// The same for messages.
    pub(crate) word: String,
}

impl Program {
    /// Returns how messages call this kind of program.
    pub(crate) fn kind(&self) -> &'static str {
        if self.specifier.is_some() { "description" } else { "script" }
    }

    /// Returns its name in messages: for a program on the command line, only the probe description.
    pub(crate) fn name(&self) -> &str {
        match self.specifier {
            Some(_) => self.word.split(['{', '/', ';']).next().unwrap_or_default(),
            None => &self.word,
        }
    }
}

/// An option for libdtrace, and the words that set it for messages.
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) words: String,
}

pub(crate) struct Arguments {
    pub(crate) mode: Mode,
    pub(crate) programs: Vec<Program>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) commands: Vec<Vec<OsString>>,
    pub(crate) pids: Vec<String>,
    pub(crate) output: Option<OsString>,
    pub(crate) verbose: bool,
    pub(crate) check_only: bool,
    pub(crate) zero_matches: bool,
    compile_flags: u32,
    /// The words that are not options: `$1`, `$2`…
    pub(crate) words: Vec<OsString>,
}

/// A command line that is refused, with the message.
pub(crate) struct Refused(pub(crate) String);

impl Arguments {
    pub(crate) fn parse(words: &[OsString]) -> Result<Arguments, Refused> {
        let mut arguments = Arguments {
            mode: Mode::Execute,
            programs: Vec::new(),
            settings: Vec::new(),
            commands: Vec::new(),
            pids: Vec::new(),
            output: None,
            verbose: false,
            check_only: false,
            zero_matches: false,
            compile_flags: 0,
            words: Vec::new(),
        };
        if words.len() < 2 {
            return Err(Refused(usage()));
        }
        let mut modes = 0;
        let mut rest = words[1..].iter();
        while let Some(word) = rest.next() {
            let Some(cluster) =
                word.as_bytes().strip_prefix(b"-").filter(|c| !c.is_empty() && *c != b"-")
            else {
                if word != "--" {
                    arguments.words.push(word.clone());
                }
                continue;
            };
            for (at, letter) in cluster.iter().enumerate() {
                let letter = char::from(*letter);
                let takes_value = match OPTIONS.find(letter) {
                    Some(i) if letter != ':' => OPTIONS[i + 1..].starts_with(':'),
                    _ => {
                        let message = format!("dtrace: invalid option -- '{letter}'\n");
                        return Err(Refused(message + &usage()));
                    }
                };
                if !takes_value {
                    modes += usize::from(arguments.flag(letter));
                    continue;
                }
                let attached = &cluster[at + 1..];
                let value = if attached.is_empty() {
                    rest.next().cloned().ok_or_else(|| {
                        let message =
                            format!("dtrace: option requires an argument -- '{letter}'\n");
                        Refused(message + &usage())
                    })?
                } else {
                    OsString::from_vec(attached.to_vec())
                };
                arguments.value(letter, value)?;
                break;
            }
        }
        if modes > 1 {
            let message = "dtrace: only one of the [-GhlV] options can be specified at a time\n";
            return Err(Refused(message.to_owned()));
        }
        Ok(arguments)
    }

    /// Applies an option without a value; returns whether it selects a mode.
    fn flag(&mut self, letter: char) -> bool {
        match letter {
            'e' => self.check_only = true,
            'v' => self.verbose = true,
            'C' => self.compile_flags |= 0x10,
            'S' => self.compile_flags |= 0x1,
            'Z' => self.zero_matches = true,
            'F' => self.set("flowindent", None, "-F"),
            'H' => self.set("cpphdrs", None, "-H"),
            'q' => self.set("quiet", None, "-q"),
            'w' => self.set("destructive", None, "-w"),
            'l' => {
                self.mode = Mode::List;
                self.zero_matches = true;
                return true;
            }
            'V' => {
                self.mode = Mode::Version;
                return true;
            }
            'h' => {
                self.mode = Mode::Header;
                return true;
            }
            'G' => {
                self.mode = Mode::Link;
                return true;
            }
            _ => self.mode = Mode::Unsupported(letter),
        }
        false
    }

    fn value(&mut self, letter: char, value: OsString) -> Result<(), Refused> {
        match letter {
            'c' => {
                let words = value.as_bytes().split(u8::is_ascii_whitespace);
                let words = words.filter(|word| !word.is_empty()).map(OsStr::from_bytes);
                self.commands.push(words.map(OsStr::to_owned).collect());
            }
            'o' => self.output = Some(value),
            's' => self.program(None, value),
            'P' => self.program(Some(Specifier::Provider), value),
            'm' => self.program(Some(Specifier::Module), value),
            'f' => self.program(Some(Specifier::Function), value),
            'n' | 'i' => self.program(Some(Specifier::Name), value),
            _ => {
                let value = text(value).map_err(|why| Refused(format!("dtrace: {why}\n")))?;
                return self.text_value(letter, value);
            }
        }
        Ok(())
    }

    fn program(&mut self, specifier: Option<Specifier>, given: OsString) {
        let word = given.to_string_lossy().into_owned();
        self.programs.push(Program { specifier, given, word });
    }

    /// Applies an option whose value is text.
    fn text_value(&mut self, letter: char, value: String) -> Result<(), Refused> {
        match letter {
            '3' | '6' => {
                let other = if letter == '3' { "2" } else { "4" };
                if value != other {
                    let message = format!("dtrace: illegal option -- {letter}{value}\n");
                    return Err(Refused(message + &usage()));
                }
            }
            'b' => self.set("bufsize", Some(&value), &format!("-b {value}")),
            'p' => self.pids.push(value),
            'D' => self.set("define", Some(&value), &format!("-D {value}")),
            'U' => self.set("undef", Some(&value), &format!("-U {value}")),
            'I' => self.set("incdir", Some(&value), &format!("-I {value}")),
            'L' => self.set("libdir", Some(&value), &format!("-L {value}")),
            'X' => self.set("stdc", Some(&value), &format!("-X {value}")),
            _ => match value.split_once('=') {
                Some((name, value)) => self.set(name, Some(value), &format!("-x {name}")),
                None => self.set(&value, None, &format!("-x {value}")),
            },
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Option<&str>, words: &str) {
        self.settings.push(Setting {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            words: words.to_owned(),
        });
    }

    /// Returns a session with these programs, options and processes. There must be at least one program.
    pub(crate) fn session(&self) -> Result<Session<Live>, String> {
        let scripts: Vec<Script> =
            self.programs.iter().map(|program| self.script(program)).collect::<Result<_, _>>()?;
        let mut scripts = scripts.into_iter();
        let mut session = trace(scripts.next().ok_or("no probes specified")?);
        for script in scripts {
            session = session.script(script);
        }
        for setting in &self.settings {
            session = match &setting.value {
                Some(value) => session.option(&setting.name, value),
                None => session.flag(&setting.name),
            };
        }
        for command in &self.commands {
            session = session.create(command);
        }
        for pid in &self.pids {
            let pid = pid.parse().map_err(|_| format!("invalid pid: {pid}"))?;
            session = session.grab(pid);
        }
        if self.zero_matches {
            session = session.allow_zero_matches();
        }
        Ok(session.compile_flags(self.compile_flags).inherit_stderr())
    }

    fn script(&self, program: &Program) -> Result<Script, String> {
        let script = match program.specifier {
            Some(specifier) => Script::probes(specifier, program.given.as_bytes()),
            None => Script::file(&program.given).map_err(|e| match e {
                Error::Script { script, reason } => {
                    // The text of strerror(3), without the number that Rust appends.
                    let reason = reason.split(" (os error").next().unwrap_or_default();
                    format!("failed to open {script}: {reason}")
                }
                other => other.to_string(),
            })?,
        };
        let words: Vec<String> = self.words.iter().cloned().map(text).collect::<Result<_, _>>()?;
        Ok(script.args(words))
    }

    /// Returns dtrace(1)'s message for a session that failed.
    pub(crate) fn message(&self, error: &Error) -> String {
        match error {
            Error::Compile(e) => {
                let line = e.line.map(|n| format!("line {n}: ")).unwrap_or_default();
                let shows_tags = self.settings.iter().any(|s| s.name == "errtags");
                let tag = e.tag.as_deref().filter(|_| shows_tags);
                let tag = tag.map(|tag| format!("[{tag}] ")).unwrap_or_default();
                let message = format!("{tag}{line}{}", e.message);
                match self.programs.get(e.index) {
                    Some(program) if program.specifier.is_some() => {
                        format!("invalid probe specifier {}: {message}", program.word)
                    }
                    _ => format!("failed to compile script {}: {message}", e.script),
                }
            }
            Error::Option { name, reason, .. } => {
                let setting = self.settings.iter().rev().find(|s| s.name == *name);
                let words = setting.map_or(name.as_str(), |s| s.words.as_str());
                format!("failed to set {words}: {reason}")
            }
            Error::Enable { message, .. } => format!("could not enable tracing: {message}"),
            Error::Libdtrace { call, message, .. } => match call.as_str() {
                "dtrace_go" => format!("could not enable tracing: {message}"),
                "dtrace_work" => format!("processing aborted: {message}"),
                _ => message.clone(),
            },
            Error::Process { message, .. } => message.clone(),
            // This is what libdtrace reports for an empty command.
            Error::Command { .. } if cfg!(target_os = "linux") => "No such process".to_owned(),
            Error::Command { program, cause } => {
                let reason = super::output::reason(cause);
                format!("failed to execute {program}: {reason}")
            }
            other => other.to_string(),
        }
    }
}

/// Returns a word as text, which options and arguments of D programs have to be.
fn text(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("not UTF-8: {}", word.display()))
}

fn usage() -> String {
    include_str!("usage.txt").to_owned()
}
