//! Why did an installation fail, and what can be done?

use std::io;
use std::path::{Path, PathBuf};

use crate::debug::debug_as_text;
use crate::locate::OLDEST_VERSION;
use crate::path::PathProblem;
use crate::prefix::Unreadable;

/// Why [`Installer::install`](super::Installer::install), [`status`](super::status) or
/// [`uninstall`](super::uninstall) failed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There are no packages for this host, for the reason given.
    #[error("cannot unpack a private libdtrace on this host: {0}")]
    UnsupportedHost(String),
    /// libdtrace does not support the path of the prefix.
    #[error(
        "cannot install to {}: its path {problem}, which libdtrace does not support (choose another \
         prefix)",
        prefix.display()
    )]
    UnusablePath {
        /// The directory.
        prefix: PathBuf,
        /// What is wrong with its path.
        problem: PathProblem,
    },
    /// None of the prefixes that [`choose_prefix`](super::choose_prefix) was offered can be used.
    #[error("there is no place for a private libdtrace{}", reasons(passed))]
    NoPlace {
        /// The reasons, one for each prefix.
        passed: Vec<InstallError>,
    },
    /// There is no keyring to check the signatures of packages.
    #[error(
        "cannot verify packages: {} (install the distribution's archive-keyring package)",
        missing_files(looked)
    )]
    NoKeyring {
        /// The files that were looked for.
        looked: Vec<PathBuf>,
    },
    /// apt has no source of the distribution's own packages.
    #[error("apt has no source for {vendor}'s main packages (add a mirror to its sources)")]
    NoMirror {
        /// `Debian` or `Ubuntu`.
        vendor: &'static str,
    },
    /// No mirror responds, or its index is not properly signed.
    #[error("no mirror is usable:\n{said}")]
    Unreachable {
        /// apt's messages.
        said: String,
    },
    /// The mirrors respond, but have no supported libdtrace.
    #[error(
        "{vendor}'s mirror has no supported libdtrace ({OLDEST_VERSION} or later): {}{}",
        offered(suites),
        remedy(vendor)
    )]
    NotOffered {
        /// `Debian` or `Ubuntu`.
        vendor: &'static str,
        /// The suites that were asked, and the version of libdtrace2 in each, if any.
        suites: Vec<(String, Option<String>)>,
    },
    /// apt-get, apt-cache, dpkg-deb or another program of the host failed.
    #[error("{command} failed: {said}")]
    Tool {
        /// The program and its first arguments.
        command: String,
        /// Its output, or the operating system's error if it could not be started.
        said: String,
    },
    /// A program of the host did not finish in time.
    #[error("{command} did not finish in time: the installation takes too long (try again)")]
    TimedOut {
        /// The program and its first arguments.
        command: String,
    },
    /// The packages lack something that libdtrace needs.
    #[error("the packages are incomplete: missing {}", missing.join(", "))]
    Incomplete {
        /// The libraries or programs that they lack.
        missing: Vec<String>,
    },
    /// The directory holds something else, which is not touched.
    #[error(
        "cannot install to {}: it exists and is not a private libdtrace (choose another prefix)",
        prefix.display()
    )]
    NotOurs {
        /// The directory.
        prefix: PathBuf,
    },
    /// There is no private libdtrace.
    #[error("no private libdtrace at {}", prefix.display())]
    NotInstalled {
        /// The directory.
        prefix: PathBuf,
    },
    /// A part of the private libdtrace is missing or cannot be read. Installing again replaces it.
    #[error("the private libdtrace at {} is damaged: {what} (install it again)", prefix.display())]
    Damaged {
        /// The directory.
        prefix: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

debug_as_text! {
    enum InstallError {
        UnsupportedHost(cause),
        UnusablePath { prefix, problem },
        NoPlace { passed },
        NoKeyring { looked },
        NoMirror { vendor },
        Unreachable { said },
        NotOffered { vendor, suites },
        Tool { command, said },
        TimedOut { command },
        Incomplete { missing },
        NotOurs { prefix },
        NotInstalled { prefix },
        Damaged { prefix, what },
        Io { action, path, source },
    }
}

impl InstallError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> InstallError {
        InstallError::Io { action, path: path.to_owned(), source }
    }
}

impl From<Unreadable> for InstallError {
    fn from(Unreadable { path, source }: Unreadable) -> InstallError {
        InstallError::Io { action: "read", path, source }
    }
}

/// One line for each.
fn reasons(passed: &[InstallError]) -> String {
    passed.iter().map(|it| format!("\n{it}")).collect()
}

fn missing_files(looked: &[PathBuf]) -> String {
    let looked: Vec<_> = looked.iter().map(|it| it.display().to_string()).collect();
    format!("there is no {}", looked.join(" or "))
}

fn offered(suites: &[(String, Option<String>)]) -> String {
    let suites = suites.iter().map(|(suite, version)| match version {
        Some(version) => format!("{suite} has libdtrace2 {version}"),
        None => format!("{suite} has no libdtrace2"),
    });
    suites.collect::<Vec<_>>().join(", ")
}

fn remedy(vendor: &str) -> &'static str {
    if vendor == "Debian" {
        return "";
    }
    " (unpack Debian's packages on a Debian host, with `dtrace-worker install --prefix`, and copy \
     the prefix)"
}
