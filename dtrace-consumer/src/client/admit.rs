//! Does a session need a self-check first?
//!
//! Only if the libdtrace that it would load is not known, and there is no verdict on it yet. Those of FreeBSD, macOS and
//! illumos are never known.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dtrace_locate::locate::{Libdtrace, Search, Standing};
use parking_lot::Mutex;

use super::admitted::Admitted;
use super::elevation::Elevation;
use super::preflight::{preflight_admitting, require_host};
use super::selfcheck::{CUT_SHORT, Finding, check};
use super::settings::{Access, Settings};
use super::standing::{differs, stored};
use crate::decode::stop::{Ending, Reason};
use crate::error::Error;
use crate::verdict::{Store, Subject, Verdict};

/// Several sessions that start at once need one self-check.
static CHECKING: Mutex<()> = Mutex::new(());

/// How often a session that waits for another one's self-check looks whether it has been asked to end.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs the self-check if a query needs it. Returns the settings with the library that it admitted.
///
/// # Errors
/// [`Error::Unavailable`] if no library is admitted, or if this process may not trace.
pub(crate) fn admitted(settings: &mut Settings) -> Result<Admitted<'_>, Error> {
    admit_unless_ended(&mut settings.access, &Ending::default(), None)?;
    Ok(Admitted::of(settings))
}

/// Runs the self-check if a session with this deadline needs it, and notes the library that it admitted. The check is
/// aborted when `ending` is asked for.
///
/// # Errors
/// Those of [`admitted`], [`Error::Aborted`] and [`Error::Deadline`].
pub(crate) fn admit_unless_ended(
    access: &mut Access,
    ending: &Ending,
    deadline: Option<Duration>,
) -> Result<(), Error> {
    if access.elevation != Elevation::None || access.admitted.is_some() {
        return Ok(());
    }
    let search = Search { caller: access.prefix.clone(), ..Search::of_this_process() };
    match search.trace_admitting(stored).1 {
        Ok(library) if library.standing == Standing::Unverified => {}
        // Preflight reports that there is none.
        _ => return Ok(()),
    }
    // Preflight says what is missing, too, and more of it.
    if require_host().is_err() {
        return Ok(());
    }
    let worker = access.worker.as_deref();
    let checked =
        preflight_admitting(access.prefix.as_deref(), |library| checked(library, worker, ending));
    match checked.require() {
        Ok(library) => access.admitted = Some(Arc::new(library)),
        Err(missing) => return Err(aborted(ending, deadline).unwrap_or_else(|| missing.into())),
    }
    Ok(())
}

/// Returns the error of a session that was aborted, or whose deadline has come.
fn aborted(ending: &Ending, deadline: Option<Duration>) -> Option<Error> {
    let is_late = ending.first().is_some_and(|(_, reason)| reason == Reason::Deadline);
    let late = deadline.filter(|_| is_late).map(|limit| Error::Deadline { limit });
    ending.abortion(deadline).or(late)
}

/// Returns a library's standing after a self-check, if one is necessary. `worker` is the worker's program.
///
/// # Errors
/// Returns why the library is not used, and what to do.
fn checked(
    library: &Libdtrace,
    worker: Option<&Path>,
    ending: &Ending,
) -> Result<Standing, String> {
    let _guard = loop {
        if ending.is_asked() {
            return Err(undecided(CUT_SHORT));
        }
        if let Some(guard) = CHECKING.try_lock_for(GLANCE) {
            break guard;
        }
    };
    match stored(library)? {
        Standing::Unverified => {}
        other => return Ok(other),
    }
    let finding = check(library, worker, ending);
    if let Some(verdict) = finding.verdict()
        && let (Some(store), Some(subject)) = (Store::of_user(), Subject::here(library))
        && let Err(error) = store.write(&subject, verdict)
    {
        // The next session checks again.
        let directory = store.directory().display();
        tracing::info!("cannot keep the verdict on libdtrace in {directory}: {error}");
    }
    match finding {
        Finding::Decided { verdict: Verdict::Matches, .. } => Ok(Standing::Verified),
        Finding::Decided { verdict: Verdict::Differs(what), .. } => Err(differs(&what)),
        Finding::Undecided(why) => Err(undecided(&why)),
    }
}

fn undecided(why: &str) -> String {
    format!("could not be checked: {why}")
}
