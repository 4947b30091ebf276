//! What may a user request from a worker that has more privilege than the user?
//!
//! Everything that is not known to be harmless is refused.

use super::configuration::Configuration;
use super::limits::{self, LONGEST_OPENING, MOST, MOST_SYMBOLS, SHORTEST_INTERVAL};
use crate::data::script::{Script, words_of};
use crate::stream::job::{Job, LONGEST_DELAY, Process, Purpose, Target};
use crate::stream::payload::{FailureFrame, FailureKind};
use crate::worker::system::belongs_to;

/// Compiler flags apart from those of the preprocessor and of D libraries: `DTRACE_C_DIFV`, `EMPTY`, `ZDEFS`,
/// `EATTR`, `KNODEF`, `UNODEF`, `PSPEC`, `ETAGS`, `ARGREF`, `DEFARG`.
const HARMLESS_FLAGS: u32 = 0x0bef;

/// The rules for one user.
pub(super) struct Policy<'a> {
    pub(super) uid: u32,
    pub(super) configuration: &'a Configuration,
}

type Checked = Result<(), FailureFrame>;

fn refuse(what: impl Into<String>, why: impl Into<String>) -> Checked {
    Err(FailureFrame {
        kind: FailureKind::Refused,
        attempt: what.into(),
        number: 0,
        message: why.into(),
        script: None,
        needed: Vec::new(),
    })
}

impl Policy<'_> {
    /// Refuses the request unless it is harmless.
    pub(super) fn check(&self, job: &Job) -> Checked {
        if !job.library.as_os_str().is_empty() || job.syslibdir.is_some() || job.unknown.is_some() {
            return refuse("the library", "only the administrator chooses it");
        }
        self.check_limits(job)?;
        for (name, value) in &job.options {
            self.check_option(name, value.as_deref())?;
        }
        if job.compile_flags & !HARMLESS_FLAGS != 0 {
            return refuse(
                format!("compiler flags {:#x}", job.compile_flags & !HARMLESS_FLAGS),
                "the preprocessor reads files as root (preprocess the script before), and other \
                 flags may be harmful",
            );
        }
        if let Purpose::Link { .. } = job.purpose {
            return refuse("to link an object file", "the worker would write it as root");
        }
        job.scripts.iter().try_for_each(|source| self.check_source(source))?;
        job.target.iter().try_for_each(|target| self.check_target(target))?;
        job.processes.iter().try_for_each(|process| self.check_process(process))
    }

    fn check_limits(&self, job: &Job) -> Checked {
        let arguments = job.scripts.iter().map(|source| source.arguments.len()).sum();
        let (asked, what, most) = match &job.purpose {
            Purpose::List { patterns, .. } => (patterns.len(), "patterns", MOST),
            Purpose::Lookup { names, addresses } => {
                (names.len().max(addresses.len()), "symbols", MOST_SYMBOLS)
            }
            Purpose::Types { names } => (names.len(), "types", MOST),
            Purpose::Trace | Purpose::Check | Purpose::Header { .. } | Purpose::Link { .. } => {
                (0, "questions", MOST)
            }
        };
        let counts = [
            ("scripts", job.scripts.len(), MOST),
            ("arguments", arguments, MOST),
            ("options", job.options.len() + job.read_options.len(), MOST),
            ("omitted D libraries", job.omit.len(), MOST),
            ("processes", job.processes.len(), MOST),
            (what, asked, most),
        ];
        if let Some((what, count, most)) = counts.into_iter().find(|(_, count, most)| count > most)
        {
            return refuse(format!("{count} {what}"), format!("at most {most} are permitted"));
        }
        let opening = job.held().filter_map(|held| held.gate.as_ref());
        let opening = opening.map(|gate| gate.opening.len()).max().unwrap_or(0);
        if opening > LONGEST_OPENING {
            let why = format!("at most {LONGEST_OPENING} are permitted");
            return refuse(format!("to write {opening} bytes to the command"), why);
        }
        let interval = job.snapshot_interval.map(|interval| interval.as_millis());
        if interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
            let why = format!("it must be at least {SHORTEST_INTERVAL} ms");
            return refuse("the interval of walks", why);
        }
        if job.max_delay > LONGEST_DELAY {
            return refuse("the delay of records", format!("it must be at most {LONGEST_DELAY:?}"));
        }
        Ok(())
    }

    fn check_option(&self, name: &str, value: Option<&str>) -> Checked {
        let what = || format!("option {name}");
        if name == "destructive" {
            if self.configuration.destructive {
                return Ok(());
            }
            let why = "the administrator does not permit destructive actions \
                       (destructive = yes in /etc/dtrace-worker.conf)";
            return refuse(what(), why);
        }
        match limits::of_option(name) {
            None => refuse(what(), "not known to be harmless in a worker that runs as root"),
            Some(limit) => match limit.violated(value) {
                None => Ok(()),
                Some(why) => refuse(what(), why),
            },
        }
    }

    fn check_source(&self, source: &Script) -> Checked {
        let text = String::from_utf8_lossy(&source.text);
        // A macro argument can supply a word of the script.
        let arguments = source.arguments.iter().chain([&source.argument_zero, &source.name]);
        if std::iter::once(&*text).chain(arguments.map(String::as_str)).any(has_setopt) {
            return refuse("setopt()", "it can set options that make the worker write files");
        }
        // A directive needs its own line. Checking more lines overlooks none.
        for line in text.split('\n').filter(|line| line.contains('#')) {
            let line = line.replace('#', " ");
            let is_space = |c: char| c.is_ascii_whitespace() || matches!(c, '\x0b' | '"');
            let words: Vec<&str> = line.split(is_space).filter(|word| !word.is_empty()).collect();
            for words in words.windows(4) {
                if let ["pragma", "D", "option", setting] = words {
                    let (name, value) = match setting.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (*setting, None),
                    };
                    self.check_option(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn check_target(&self, target: &Target) -> Checked {
        self.require_own(target.pid)?;
        if target.gate.is_some() && !self.configuration.grab {
            return refuse("probes on functions of the command", NO_GRAB);
        }
        Ok(())
    }

    fn check_process(&self, process: &Process) -> Checked {
        match process {
            Process::Created(held) => self.check_target(held),
            Process::Grab(_) if !self.configuration.grab => refuse("to grab a process", NO_GRAB),
            Process::Grab(pid) => self.require_own(*pid),
        }
    }

    fn require_own(&self, pid: i32) -> Checked {
        if belongs_to(pid, self.uid) {
            return Ok(());
        }
        refuse(format!("process {pid}"), format!("it does not belong to user {}", self.uid))
    }
}

const NO_GRAB: &str = "the administrator does not permit stopping processes and setting \
                       breakpoints in them (grab = yes in /etc/dtrace-worker.conf)";

fn has_setopt(text: &str) -> bool {
    words_of(text).any(|word| word == "setopt")
}

#[cfg(test)]
mod bounds;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Script {
        Script {
            name: "script".into(),
            argument_zero: "script".into(),
            text: text.into(),
            arguments: Vec::new(),
            specifier: None,
        }
    }

    fn refused(text: &str, arguments: &[&str]) -> Option<String> {
        let configuration = Configuration::default();
        let policy = Policy { uid: 1000, configuration: &configuration };
        let mut source = source(text);
        source.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        policy.check_source(&source).err().map(|frame| frame.attempt)
    }

    #[test]
    fn pragmas_set_only_what_is_harmless() {
        for harmless in [
            "#pragma D option quiet\nBEGIN { exit(0); }",
            "#!/usr/sbin/dtrace -s\n#pragma D option bufsize=8m\n",
            "BEGIN { printf(\"#1 option\"); }",
        ] {
            assert_eq!(refused(harmless, &[]), None, "{harmless}");
        }
        for (text, option) in [
            ("#pragma D option destructive\n", "destructive"),
            ("BEGIN{}\n  \x0c#\tpragma\x0bD  option \tcpppath=/home/u/cpp\n", "cpppath"),
            ("/* \n */#pragma D option ctypes=/etc/x\n", "ctypes"),
            ("#pragma D option libdir=/home/u\n", "libdir"),
            ("#pragma D option bufsize=1t\n", "bufsize"),
            ("#pragma D option strsize=0x20000000\n", "strsize"),
            ("#pragma D option cpp\r\n", "cpp"),
        ] {
            assert_eq!(refused(text, &[]), Some(format!("option {option}")), "{text}");
        }
    }

    #[test]
    fn setopt_is_refused_wherever_it_may_come_from() {
        assert!(refused("BEGIN { setopt(\"ctypes\", \"/etc/x\"); }", &[]).is_some());
        assert!(refused("BEGIN { $1(\"ctypes\", \"/etc/x\"); }", &["setopt"]).is_some());
        assert!(refused("BEGIN { setopts = 1; }", &[]).is_none());
    }
}
