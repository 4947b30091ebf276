//! Can a session that failed to start succeed with other D libraries?
//!
//! Scripts see only the D libraries that they seem to need, because libdtrace takes long to compile them all.
//! If a script fails, it is tried again with all of them. A library that does not compile on this kernel is
//! omitted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::data::sentences;
use crate::data::session_info::OmittedLibrary;
use crate::stream::job::Job;
use crate::stream::payload::{FailureFrame, FailureKind};

/// The D libraries that do not compile, by the libdtrace that they belong to.
static KNOWN_BAD: Mutex<Option<HashMap<PathBuf, Vec<OmittedLibrary>>>> = Mutex::new(None);

/// Returns whether the job may succeed with other D libraries, and changes it accordingly.
pub(super) fn retry(job: &mut Job, failure: &FailureFrame) -> bool {
    match failure.kind {
        // A script with a syntax error fails with any libraries.
        FailureKind::Compile if sentences::is_syntax_error(&failure.message) => false,
        FailureKind::Compile | FailureKind::Call => widen(job),
        FailureKind::Library => {
            let library =
                OmittedLibrary { file: failure.attempt.clone(), reason: failure.message.clone() };
            // A library that is already omitted fails again only if the worker failed to cover it.
            if job.omit.iter().any(|o| o.file == library.file) {
                return false;
            }
            // A script that compiles without it did not need it. Errors of others name it.
            tracing::info!(library = %library.file, "omitted a D library: {}", library.reason);
            job.omit.push(library);
            let mut known = KNOWN_BAD.lock();
            known.get_or_insert_default().insert(job.library.clone(), job.omit.clone());
            true
        }
        _ => false,
    }
}

/// Makes the scripts see every D library. Returns `false` if they do already.
pub(super) fn widen(job: &mut Job) -> bool {
    if job.all_libraries {
        return false;
    }
    job.all_libraries = true;
    job.omit = known_bad(&job.library);
    true
}

/// Returns the D libraries of a libdtrace that are known not to compile.
pub(super) fn known_bad(library: &Path) -> Vec<OmittedLibrary> {
    let known = KNOWN_BAD.lock();
    known.as_ref().and_then(|known| known.get(library)).cloned().unwrap_or_default()
}
