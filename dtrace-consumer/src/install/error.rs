//! Why could a private libdtrace not be installed, and what can be done?

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why [`Installer::install`](super::Installer::install) and its companions failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// The host is not one for which there are packages; says why.
    UnsupportedHost(String),
    /// There is no keyring to check the packages' signatures with.
    NoKeyring {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// apt has no source of the distribution's own packages.
    NoMirror {
        /// `Debian` or `Ubuntu`.
        vendor: &'static str,
    },
    /// The mirrors cannot be reached, or what they give is not signed properly.
    Unreachable {
        /// apt's own words.
        said: String,
    },
    /// The mirrors answer, but have no supported libdtrace.
    NotOffered {
        /// `Debian` or `Ubuntu`.
        vendor: &'static str,
        /// The suites that were asked, and the version of libdtrace2 in each, if any.
        suites: Vec<(String, Option<String>)>,
    },
    /// apt-get, apt-cache, dpkg-deb or another program of the host failed.
    Tool {
        /// The program and what it was told to do.
        command: String,
        /// Its own words, or the operating system's when it could not be run.
        said: String,
    },
    /// A program of the host did not finish in time.
    TimedOut {
        /// The program and what it was told to do.
        command: String,
    },
    /// The packages do not make up a libdtrace that can be loaded.
    Incomplete {
        /// The libraries or programs that they lack.
        missing: Vec<String>,
    },
    /// The directory holds something else, which stays.
    NotOurs {
        /// The directory.
        prefix: PathBuf,
    },
    /// There is no private libdtrace.
    NotInstalled {
        /// The directory.
        prefix: PathBuf,
    },
    /// There is one, but something of it is missing or unreadable. Installing again replaces it.
    Damaged {
        /// The directory.
        prefix: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file system refused.
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl InstallError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> InstallError {
        InstallError::Io { action, path: path.to_owned(), source }
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::UnsupportedHost(why) => {
                write!(f, "a private libdtrace cannot be unpacked on this host: {why}")
            }
            InstallError::NoKeyring { looked } => {
                let looked: Vec<_> = looked.iter().map(|it| it.display().to_string()).collect();
                write!(
                    f,
                    "no keyring to check packages with ({}); install the distribution's \
                     archive-keyring package",
                    looked.join(", ")
                )
            }
            InstallError::NoMirror { vendor } => {
                write!(f, "apt is configured for no mirror of {vendor}'s main packages")
            }
            InstallError::Unreachable { said } => {
                write!(f, "no mirror could be used; apt says:\n{said}")
            }
            InstallError::NotOffered { vendor, suites } => {
                let suites: Vec<String> = suites
                    .iter()
                    .map(|(suite, version)| match version {
                        Some(version) => format!("{suite} has libdtrace2 {version}"),
                        None => format!("{suite} has none"),
                    })
                    .collect();
                write!(
                    f,
                    "{vendor}'s mirror has no supported libdtrace ({}): {}",
                    super::locate::SUPPORTED_VERSIONS.join(", "),
                    suites.join(", ")
                )?;
                if *vendor != "Debian" {
                    write!(
                        f,
                        "; Debian's packages would do, but a mirror of {vendor} does not carry \
                         them: unpack them on a Debian host and copy the prefix"
                    )?;
                }
                Ok(())
            }
            InstallError::Tool { command, said } => write!(f, "{command} failed: {said}"),
            InstallError::TimedOut { command } => {
                write!(f, "{command} did not finish within the time for an installation")
            }
            InstallError::Incomplete { missing } => {
                write!(f, "the packages lack {}", missing.join(", "))
            }
            InstallError::NotOurs { prefix } => write!(
                f,
                "{} holds something else than a private libdtrace; it is left as it is",
                prefix.display()
            ),
            InstallError::NotInstalled { prefix } => {
                write!(f, "no private libdtrace at {}", prefix.display())
            }
            InstallError::Damaged { prefix, what } => write!(
                f,
                "the private libdtrace at {} is damaged: {what}; install it again",
                prefix.display()
            ),
            InstallError::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for InstallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InstallError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
