//! What do handlers report to the session, apart from errors?

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::data::misfit::MisfitPolicy;
use crate::data::warning::Warning;

/// Shared by a session and its handlers for rows.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    policy: Mutex<MisfitPolicy>,
    /// Whether anything was noted. It spares the session the lock.
    any: AtomicBool,
    noted: Mutex<Noted>,
}

/// What was noted.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) misfits: u64,
    pub(crate) warnings: Vec<Warning>,
}

impl Notes {
    pub(crate) fn set_policy(&self, policy: MisfitPolicy) {
        *self.policy.lock() = policy;
    }

    pub(crate) fn policy(&self) -> MisfitPolicy {
        *self.policy.lock()
    }

    /// Counts a row that was skipped, and keeps the warning about it.
    pub(crate) fn misfit(&self, warning: Option<Warning>) {
        let mut noted = self.noted.lock();
        noted.misfits += 1;
        noted.warnings.extend(warning);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn warn(&self, warning: Warning) {
        self.noted.lock().warnings.push(warning);
        self.any.store(true, Ordering::Release);
    }

    /// Returns what was noted since the last call.
    #[inline]
    pub(crate) fn take(&self) -> Option<Noted> {
        // A swap costs as much as a quarter of all that is done for a firing.
        self.any.load(Ordering::Relaxed).then(|| self.take_some()).flatten()
    }

    fn take_some(&self) -> Option<Noted> {
        self.any.swap(false, Ordering::AcqRel).then(|| std::mem::take(&mut *self.noted.lock()))
    }
}
