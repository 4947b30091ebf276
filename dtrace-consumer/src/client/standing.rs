//! May sessions of this user load a libdtrace that is not known?
//!
//! Only if a self-check has shown that it answers as predicted. The verdict is kept in the user's cache. It holds
//! for this build of the library, this kernel and this version of the crate.

use dtrace_locate::locate::{Libdtrace, Standing};

use crate::verdict::{Store, Subject, Verdict};

/// Returns a library's standing as far as it is known without a self-check.
///
/// # Errors
/// Returns why the library is not used, and what to do.
pub(super) fn stored(library: &Libdtrace) -> Result<Standing, String> {
    if library.standing != Standing::Unverified {
        return Ok(library.standing);
    }
    let verdict = Subject::here(library)
        .and_then(|subject| Store::of_user().and_then(|store| store.read(&subject)));
    match verdict {
        Some(Verdict::Matches) => Ok(Standing::Verified),
        Some(Verdict::Differs(what)) => Err(differs(&what)),
        None => Ok(Standing::Unverified),
    }
}

/// Explains that a library is not used.
pub(super) fn differs(what: &str) -> String {
    format!("differs: {what} (`dtrace-worker verify` checks again)")
}
