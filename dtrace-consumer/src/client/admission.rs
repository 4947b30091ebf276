//! May sessions of this user load a libdtrace whose version is not known?
//!
//! Only if a self-check has shown that it answers like a known one. The verdict is kept in the user's cache. It holds
//! for this build of the library, this kernel and this version of the crate.

use std::path::Path;

use dtrace_locate::locate::{Libdtrace, Standing};
use parking_lot::Mutex;

use super::selfcheck::{self, Finding};
use super::system;
use crate::error::Error;
use crate::error::unavailable::Unavailable;
use crate::verdict::{Store, Subject, Verdict};

/// Several sessions that start at once need one self-check.
static CHECKING: Mutex<()> = Mutex::new(());

/// Returns a library's standing as far as it is known without a self-check.
///
/// # Errors
/// Returns why the library is not used, and what to do.
pub(super) fn stored(library: &Libdtrace) -> Result<Standing, String> {
    if library.standing != Standing::Unverified {
        return Ok(library.standing);
    }
    let verdict = Subject::here(library.build_id())
        .and_then(|subject| Store::of_user().and_then(|store| store.read(&subject)));
    match verdict {
        Some(Verdict::Matches) => Ok(Standing::Verified),
        Some(Verdict::Differs(what)) => Err(differs(&what)),
        None => Ok(Standing::Unverified),
    }
}

/// Returns a library's standing after a self-check, if one is necessary. `worker` is the worker's program.
///
/// # Errors
/// Returns why the library is not used, and what to do.
pub(super) fn checked(library: &Libdtrace, worker: Option<&Path>) -> Result<Standing, String> {
    let _guard = CHECKING.lock();
    match stored(library)? {
        Standing::Unverified => {}
        other => return Ok(other),
    }
    let finding = selfcheck::check(library, worker);
    if let Some(verdict) = finding.lasting()
        && let (Some(store), Some(subject)) = (Store::of_user(), Subject::here(library.build_id()))
        && let Err(error) = store.write(&subject, verdict)
    {
        // The next session checks again.
        let directory = store.directory().display();
        tracing::info!("cannot keep the verdict on libdtrace in {directory}: {error}");
    }
    match finding {
        Finding::Decided { verdict: Verdict::Matches, .. } => Ok(Standing::Verified),
        Finding::Decided { verdict: Verdict::Differs(what), .. } => Err(differs(&what)),
        Finding::Undecided(why) => Err(format!("could not be checked: {why}")),
    }
}

fn differs(what: &str) -> String {
    format!("differs: {what} (`dtrace-worker verify` checks again)")
}

/// Fails unless this process may trace.
///
/// # Errors
/// [`Error::Unavailable`] with what is missing.
pub(crate) fn require_privilege() -> Result<(), Error> {
    let checks = system::unsupported().into_iter().chain([system::privilege()]);
    let missing: Vec<_> = checks.filter(|check| !check.met).collect();
    if missing.is_empty() { Ok(()) } else { Err(Unavailable { missing }.into()) }
}
