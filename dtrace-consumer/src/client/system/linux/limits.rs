//! Does a limit of this process explain why a session did not start?
//!
//! Few messages name the limit that was reached, and libdtrace reports some of these failures as others. So this
//! module reads the limits themselves, and names one that is far below what a session needs.

use std::fmt::Write as _;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::error::Error;

/// A limit, and how its effects are recognised.
struct Limit {
    resource: Resource,
    name: &'static str,
    /// The size of its unit in bytes, if it counts any.
    unit: u64,
    /// A limit that is at least this is named only if a message says what the system says of this limit alone.
    enough: u64,
    /// Below this, the limit is named whatever libdtrace reports.
    never_enough: u64,
    /// What the system and libdtrace say where it is reached.
    signs: &'static [&'static str],
    /// What the system says of this limit alone.
    proofs: &'static [&'static str],
    /// What a session needs, and what to do.
    remedy: &'static str,
}

/// What is said where there is no memory.
const NO_MEMORY: [&str; 11] = [
    "Memory allocation failure",
    "annot allocate memory",
    "out of memory",
    "Out of memory",
    "failed to map segment",
    "cannot map zero-fill pages",
    "memory allocation of",
    "Resource temporarily unavailable",
    "(SIGABRT)",
    "(SIGBUS)",
    "(SIGSEGV)",
];

const MEBIBYTE: u64 = 1 << 20;

const LIMITS: [Limit; 6] = [
    Limit {
        resource: Resource::RLIMIT_NOFILE,
        name: "open files (RLIMIT_NOFILE)",
        unit: 0,
        enough: 64,
        never_enough: 0,
        // libdtrace does not report what it cannot open.
        signs: &["dtrace", "process", "probe"],
        proofs: &["Too many open files", "os error 24"],
        remedy: "a session needs about 30, and one more for each probe; raise it with `ulimit -n` and `ulimit -Hn`",
    },
    Limit {
        resource: Resource::RLIMIT_AS,
        name: "address space (RLIMIT_AS)",
        unit: MEBIBYTE,
        enough: 2048 * MEBIBYTE,
        never_enough: 128 * MEBIBYTE,
        signs: &NO_MEMORY,
        proofs: &[],
        remedy: "a session needs about 500 MiB, more with large buffers; raise it with `ulimit -v`",
    },
    Limit {
        resource: Resource::RLIMIT_DATA,
        name: "data (RLIMIT_DATA)",
        unit: MEBIBYTE,
        enough: 512 * MEBIBYTE,
        never_enough: 16 * MEBIBYTE,
        signs: &NO_MEMORY,
        proofs: &[],
        remedy: "a session needs about 100 MiB, more with large buffers; raise it with `ulimit -d`",
    },
    Limit {
        resource: Resource::RLIMIT_STACK,
        name: "the stack (RLIMIT_STACK)",
        unit: MEBIBYTE,
        enough: MEBIBYTE,
        never_enough: 0,
        signs: &["SIGSEGV", "Argument list too long"],
        proofs: &[],
        remedy: "a session needs 1 MiB; raise it with `ulimit -s`",
    },
    Limit {
        resource: Resource::RLIMIT_NPROC,
        name: "processes and threads (RLIMIT_NPROC)",
        unit: 0,
        enough: 1 << 16,
        never_enough: 0,
        signs: &["Resource temporarily unavailable"],
        proofs: &[],
        remedy: "a session needs about ten more than this user has; raise it with `ulimit -u`",
    },
    Limit {
        resource: Resource::RLIMIT_FSIZE,
        name: "the size of files (RLIMIT_FSIZE)",
        unit: 1,
        enough: 4096,
        never_enough: 0,
        signs: &["SIGXFSZ"],
        proofs: &["File too large"],
        remedy: "libdtrace writes to the kernel's list of probes; raise it with `ulimit -f`",
    },
];

/// Returns the largest size that this process may give a file, if that is limited.
pub(in crate::client) fn largest_file() -> io::Result<Option<u64>> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    Ok((limit != RLIM_INFINITY).then_some(limit))
}

/// Adds the limit that explains a failed start, if there is one.
pub(in crate::client) fn explained_by_limit(error: Error) -> Error {
    let is_of_system = matches!(
        error,
        Error::Command { .. }
            | Error::Process { .. }
            | Error::Libdtrace { .. }
            | Error::Enable { .. }
            | Error::WorkerStart { .. }
            | Error::WorkerDied { .. }
            | Error::System { .. }
            | Error::Unavailable(_)
            // The worker passes the script to the compiler as a file.
            | Error::Compile(_)
    );
    if !is_of_system {
        return error;
    }
    let text = error.to_string();
    let found = LIMITS.iter().find_map(|limit| {
        let (soft, hard) = getrlimit(limit.resource).ok()?;
        limit.explains(&error, &text, soft, hard).map(|value| (limit, value))
    });
    let Some((limit, value)) = found else { return error };
    let remedy = limit.remedy.to_owned();
    let (limit, value) = (limit.name, limit.shown(value));
    Error::Limit { limit, value, remedy, cause: Box::new(without_advice(error)) }
}

impl Limit {
    /// Returns the limit's value if it explains the error.
    fn explains(&self, error: &Error, text: &str, soft: u64, hard: u64) -> Option<u64> {
        let of_worker =
            matches!(error, Error::Process { .. } | Error::Libdtrace { .. } | Error::Enable { .. });
        // libdtrace raises this limit as far as it may.
        let is_raised = matches!(self.resource, Resource::RLIMIT_NOFILE)
            && (of_worker || matches!(error, Error::WorkerDied { .. }));
        let value = if is_raised { hard } else { soft };
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        // Scripts contain any words, and only libdtrace fails without a sign of this limit.
        let may_be_unsaid = match self.resource {
            Resource::RLIMIT_NOFILE => is_raised,
            _ => !matches!(error, Error::Compile(_)),
        };
        let explains = says(self.proofs)
            || value < self.enough && may_be_unsaid && says(self.signs)
            || value < self.never_enough && of_worker;
        explains.then_some(value)
    }

    fn shown(&self, value: u64) -> String {
        let mut shown = String::new();
        let _ = match self.unit {
            0 => write!(shown, "{value}"),
            MEBIBYTE if value >= MEBIBYTE => write!(shown, "{} MiB", value / MEBIBYTE),
            _ => write!(shown, "{value} bytes"),
        };
        shown
    }
}

/// Removes advice that is about another cause.
fn without_advice(mut error: Error) -> Error {
    if let Error::Process { advice, .. }
    | Error::Libdtrace { advice, .. }
    | Error::Enable { advice, .. } = &mut error
    {
        *advice = None;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explains(name: &str, error: &Error, soft: u64, hard: u64) -> Option<u64> {
        let limit = LIMITS.iter().find(|limit| limit.name.contains(name)).expect("a limit");
        limit.explains(error, &error.to_string(), soft, hard)
    }

    fn call(message: &str) -> Error {
        let (call, message) = ("dtrace_go".to_owned(), message.to_owned());
        Error::Libdtrace { call, number: 0, message, advice: Some("lower bufsize".to_owned()) }
    }

    #[test]
    fn a_limit_is_blamed_only_if_it_is_low_and_can_be_the_cause() {
        let memory = call("Memory allocation failure");
        assert_eq!(explains("NOFILE", &memory, 20, 26), Some(26));
        assert_eq!(explains("NOFILE", &memory, 20, 1024), None);
        assert_eq!(explains("NOFILE", &call("Too many open files"), 20, 1024), Some(1024));
        let missing = std::io::Error::from_raw_os_error(libc::ENOENT);
        let command = Error::Command { program: "none".to_owned(), cause: missing };
        assert_eq!(explains("NOFILE", &command, 20, 20), None);
        assert_eq!(explains("AS", &memory, 200 * MEBIBYTE, u64::MAX), Some(200 * MEBIBYTE));
        assert_eq!(explains("AS", &memory, u64::MAX, u64::MAX), None);
        let said = call("Unexpected libctf error");
        assert_eq!(explains("AS", &said, 50 * MEBIBYTE, u64::MAX), Some(50 * MEBIBYTE));
        assert_eq!(explains("AS", &said, 500 * MEBIBYTE, u64::MAX), None);
        assert_eq!(explains("AS", &command, 50 * MEBIBYTE, u64::MAX), None);
    }

    #[test]
    fn advice_about_another_cause_is_removed() {
        let text = without_advice(call("Memory allocation failure")).to_string();
        assert_eq!(text, "dtrace_go failed: Memory allocation failure");
    }
}
