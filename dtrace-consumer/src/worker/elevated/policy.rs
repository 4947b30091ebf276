//! What may a user request from a worker that has more privilege than the user?
//!
//! Everything that is not known to be harmless is refused.

use super::configuration::Configuration;
use crate::data::script::{Script, words_of};
use crate::stream::job::{Job, Process, Purpose, Target};
use crate::stream::payload::{FailureFrame, FailureKind};
use crate::worker::system::belongs_to;

/// The longest request, in bytes.
pub(super) const MESSAGE_LIMIT: usize = 4 << 20;

/// The maximum number of items of any kind in a request: scripts, options…
const MOST: usize = 1024;

/// The shortest time between snapshots, in milliseconds.
const SHORTEST_INTERVAL: u128 = 1;

/// The largest buffer of any kind, in bytes.
const LARGEST_BUFFER: u64 = 256 << 20;

/// Options that decide how much memory is taken.
const SIZES: [&str; 10] = [
    "aggsize",
    "bpflogsize",
    "bufsize",
    "dynvarsize",
    "jstackstrsize",
    "pcapsize",
    "printsize",
    "scratchsize",
    "specsize",
    "strsize",
];

/// Other options that neither name files nor change anything outside of the session.
const HARMLESS: [&str; 45] = [
    "aggpercpu",
    "aggrate",
    "aggsortkey",
    "aggsortkeypos",
    "aggsortpos",
    "aggsortrev",
    "amin",
    "argref",
    "bpflog",
    "bufpolicy",
    "bufresize",
    "cleanrate",
    "cpu",
    "defaultargs",
    "empty",
    "errtags",
    "evaltime",
    "flowindent",
    "iregs",
    "jstackframes",
    "knodefs",
    "kdefs",
    "lockmem",
    "maxframes",
    "noresolve",
    "nspec",
    "pgmax",
    "pspec",
    "quiet",
    "quietresize",
    "rawbytes",
    "stackframes",
    "stackindent",
    "statusrate",
    "stdc",
    "switchrate",
    "tregs",
    "udefs",
    "unodefs",
    "ustackframes",
    "verbose",
    "version",
    "zdefs",
    "lazyload",
    "late",
];

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
        if !job.library.as_os_str().is_empty() || job.syslibdir.is_some() {
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
        let (patterns, symbols) = match &job.purpose {
            Purpose::List { patterns, .. } => (patterns.len(), 0),
            Purpose::Lookup { names, addresses } => (0, names.len().max(addresses.len())),
            Purpose::Types { names } => (names.len(), 0),
            Purpose::Trace | Purpose::Check | Purpose::Header { .. } | Purpose::Link { .. } => {
                (0, 0)
            }
        };
        let counts = [
            ("scripts", job.scripts.len()),
            ("arguments", arguments),
            ("options", job.options.len() + job.read_options.len()),
            ("omitted D libraries", job.omit.len()),
            ("processes", job.processes.len()),
            ("patterns", patterns),
            // Tens of thousands of these are common.
            ("symbols", symbols / 64),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count > MOST) {
            return refuse(what, "too many");
        }
        let interval = job.snapshot_interval.map(|interval| interval.as_millis());
        if interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
            return refuse("the interval of walks", "it is shorter than a millisecond");
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
        if SIZES.contains(&name) {
            let size = value.map(size_of);
            if size.is_some_and(|size| size.is_none_or(|size| size > LARGEST_BUFFER)) {
                return refuse(what(), "not a size of at most 256 MiB");
            }
            return Ok(());
        }
        if HARMLESS.contains(&name) {
            return Ok(());
        }
        refuse(what(), "not known to be harmless in a worker that runs as root")
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

/// Parses a size as libdtrace does: a number in C's notation, with an optional unit.
fn size_of(value: &str) -> Option<u64> {
    let (digits, shift) = match value.char_indices().last()? {
        (at, 'k' | 'K') => (&value[..at], 10),
        (at, 'm' | 'M') => (&value[..at], 20),
        (at, 'g' | 'G') => (&value[..at], 30),
        (at, 't' | 'T') => (&value[..at], 40),
        _ => (value, 0),
    };
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
        // A number that looks octal is less than its digits read as decimal.
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

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

    #[test]
    fn sizes_are_read_as_libdtrace_reads_them() {
        for (text, size) in [("0", 0), ("4096", 4096), ("4k", 4096), ("1G", 1 << 30), ("0x10", 16)]
        {
            assert_eq!(size_of(text), Some(size), "{text}");
        }
        for text in ["", "m", "-1", "4 k", "99999999t"] {
            assert_eq!(size_of(text), None, "{text}");
        }
    }
}
