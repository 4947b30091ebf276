//! May an elevated worker load a libdtrace that is not known?
//!
//! Only if root has verified it. The worker runs no self-check for a user: that would load the library before
//! anything is known about it, with privilege, as often as the user likes.

use std::path::Path;

use dtrace_locate::locate::{Libdtrace, Standing};

use super::trust;
use crate::stream::payload::{FailureFrame, FailureKind};
use crate::verdict::{Store, Subject, Verdict};

/// Returns the library's standing. `worker` is the file of this program, which sudo(8) does not find by its name.
///
/// # Errors
/// Returns why it is not used, and what to do.
pub(super) fn standing(library: &Libdtrace, worker: &Path) -> Result<Standing, String> {
    if library.standing == Standing::Known {
        return Ok(Standing::Known);
    }
    let worker = worker.display();
    // Not every system comes with sudo(8).
    let verify = if cfg!(target_os = "linux") {
        format!("`sudo {worker} verify`")
    } else {
        format!("`{worker} verify` as root")
    };
    let store = Store::of_system();
    let is_trusted = trust::of_root(store.directory()).is_ok();
    let verdict =
        Subject::here(library).filter(|_| is_trusted).and_then(|subject| store.read(&subject));
    match verdict {
        Some(Verdict::Matches) => Ok(Standing::Verified),
        Some(Verdict::Differs(what)) => Err(format!(
            "a self-check found that it differs: {what} (install another libdtrace; an administrator can check \
             again with {verify})"
        )),
        None => Err(format!(
            "no administrator has verified it for this kernel and this version of the worker \
             (run {verify})"
        )),
    }
}

/// Returns the failure to report for a library that is not admitted.
pub(super) fn not_verified(library: &Libdtrace, why: &str) -> FailureFrame {
    let version = library.version.as_deref().unwrap_or_default();
    FailureFrame {
        kind: FailureKind::NotVerified,
        attempt: format!("libdtrace {version}, {}", library.library.display()),
        number: 0,
        message: why.to_owned(),
        script: None,
        needed: Vec::new(),
    }
}
