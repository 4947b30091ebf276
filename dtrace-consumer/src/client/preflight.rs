//! Can this process trace here? If not, what is missing, and what can be done?

use std::fmt;
use std::path::Path;

use dtrace_locate::locate::{Libdtrace, Search, Standing};

use super::elevation::{self, Elevation};
use super::settings::Access;
use super::standing::stored;
use super::system;
use crate::error::Error;
use crate::error::unavailable::{Check, Unavailable, write_checks};
use crate::stream::elevated::CONFIGURATION;

/// The result of checking everything that tracing requires.
///
/// ```
/// let preflight = dtrace_consumer::preflight(None);
/// if !preflight.is_ready() {
///     eprintln!("{preflight}");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Preflight {
    checks: Vec<Check>,
    library: Option<Libdtrace>,
}

impl Preflight {
    /// Returns all checks, in the order in which tracing depends on them.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Returns whether nothing is missing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|c| c.met)
    }

    /// Returns the libdtrace that sessions would load.
    #[must_use]
    pub fn library(&self) -> Option<&Libdtrace> {
        self.library.as_ref()
    }

    /// Returns the library, if nothing is missing.
    ///
    /// # Errors
    /// [`Unavailable`] with what is missing.
    pub fn require(mut self) -> Result<Libdtrace, Unavailable> {
        let library = self.library.take();
        self.missing()?;
        library.ok_or_else(|| Unavailable { missing: Vec::new() })
    }

    /// Returns an error if anything is missing.
    pub(crate) fn missing(self) -> Result<(), Unavailable> {
        missing(self.checks)
    }
}

/// Returns an error with those of the checks that are not met.
fn missing(checks: impl IntoIterator<Item = Check>) -> Result<(), Unavailable> {
    let missing: Vec<Check> = checks.into_iter().filter(|check| !check.met).collect();
    if missing.is_empty() { Ok(()) } else { Err(Unavailable { missing }) }
}

/// Returns the checks of what sessions require of the host, whichever libdtrace they load, after the one of
/// `privilege`.
fn of_host(privilege: Check) -> impl Iterator<Item = Check> {
    [privilege].into_iter().chain(system::kernel()).chain([system::confinement(false)])
}

/// Fails unless this process may trace.
///
/// # Errors
/// [`Unavailable`] with what is missing.
pub(crate) fn require_privilege() -> Result<(), Unavailable> {
    missing([system::privilege()])
}

/// Fails unless sessions can trace here, whichever libdtrace they load.
///
/// # Errors
/// [`Unavailable`] with what is missing.
pub(super) fn require_host() -> Result<(), Unavailable> {
    missing(of_host(system::privilege()))
}

/// Formats one check a line, with the remedy below if it is not met.
impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_checks(f, &self.checks)
    }
}

/// Describes the libdtrace that was found.
fn about(library: &Libdtrace, is_privileged: bool) -> Check {
    let version = library.version.as_deref().unwrap_or("of unknown version");
    let file = library.library.display();
    let met = |state: &str| Check::met("libdtrace", format!("{version}{state}, {file}"));
    match library.standing {
        Standing::Verified => met(" (verified by a self-check)"),
        Standing::Unverified if is_privileged => {
            met(" (not verified yet: the first session runs a self-check)")
        }
        Standing::Unverified => {
            let remedy = "trace with privilege: the first session then runs a self-check, as does \
                          `dtrace-worker verify`, run by root";
            Check::unmet("libdtrace", format!("{version} is not verified, {file}"), remedy)
        }
        _ => met(""),
    }
}

/// Checks everything that tracing requires. Looks for libdtrace in `prefix` first; see
/// [`locate`](crate::locate::locate) for the other places.
///
/// The [`standing`](crate::locate::Libdtrace::standing) of the [library](Preflight::library) tells whether its
/// version is known, was verified by a self-check, or has to pass one. `preflight` runs no self-check.
#[must_use]
pub fn preflight(prefix: Option<&Path>) -> Preflight {
    preflight_admitting(prefix, stored)
}

/// Checks everything that tracing requires. `admit` decides which libdtrace to use.
pub(super) fn preflight_admitting(
    prefix: Option<&Path>,
    admit: impl FnMut(&Libdtrace) -> Result<Standing, String>,
) -> Preflight {
    let mut checks = Vec::new();
    let search = Search { caller: prefix.map(Path::to_owned), ..Search::of_this_process() };
    let privilege = system::privilege();
    let library = match search.trace_admitting(admit).1 {
        Ok(library) => {
            checks.push(about(&library, privilege.met));
            Some(library)
        }
        Err(error) => {
            checks.push(Check::unmet("libdtrace", "no usable library found", error.to_string()));
            None
        }
    };
    checks.extend(of_host(privilege));
    Preflight { checks, library }
}

/// Checks everything that sessions with an [elevated](crate::Session::elevation) worker require. They need no
/// privilege and no libdtrace here, but the program that grants privilege and an installed worker, which
/// `worker` may name. Only starting a session shows whether the program permits it.
#[must_use]
pub fn preflight_elevated(elevation: &Elevation, worker: Option<&Path>) -> Preflight {
    let Some(words) = elevation.words() else { return preflight(None) };
    let mut checks = Vec::new();
    let by = words[0].to_string_lossy();
    checks.push(if elevation::is_installed(&words[0]) {
        Check::met("elevation", by)
    } else {
        let detail = format!("{by} is not installed");
        Check::unmet("elevation", detail, "install it or choose another elevation")
    });
    checks.push(match elevation::installed_worker(worker) {
        Some(worker) => Check::met("worker", worker.display().to_string()),
        None => {
            let detail = elevation::unreadable_worker(worker)
                .unwrap_or_else(|| "no dtrace-worker is installed".to_owned());
            Check::unmet("worker", detail, elevation::no_worker())
        }
    });
    checks.extend(system::kernel());
    checks.push(system::confinement(true));
    Preflight { checks, library: None }
}

/// Checks everything that a session requires before it starts. Returns the libdtrace to load; an elevated
/// worker loads the one that its administrator chose.
pub(super) fn library_to_load(access: &Access) -> Result<Option<Libdtrace>, Error> {
    if let Some(library) = &access.admitted {
        return Ok(Some(Libdtrace::clone(library)));
    }
    match access.elevation {
        Elevation::None => Ok(Some(preflight(access.prefix.as_deref()).require()?)),
        _ if access.prefix.is_some() => {
            let what = "the prefix".to_owned();
            let reason = format!(
                "an elevated worker loads the libdtrace that its administrator chose, in {CONFIGURATION}"
            );
            Err(Error::Refused { what, reason })
        }
        _ => {
            preflight_elevated(&access.elevation, access.worker.as_deref()).missing()?;
            Ok(None)
        }
    }
}
