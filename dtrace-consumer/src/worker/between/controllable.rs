//! Which processes may libdtrace control in an elevated worker?

use std::panic::catch_unwind;
use std::sync::OnceLock;

use crate::worker::system::belongs_to;

/// The processes that libdtrace may control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Controllable {
    /// Only those of one user.
    OfUser(u32),
    None,
}

static CONTROLLABLE: OnceLock<Controllable> = OnceLock::new();

impl Controllable {
    /// Makes this the limit of [`may_control`]. It stays as it was first set.
    pub(super) fn set(self) {
        let _ = CONTROLLABLE.set(self);
    }
}

/// Returns whether libdtrace may control the process.
pub(super) fn may_control(pid: i32) -> bool {
    match CONTROLLABLE.get() {
        Some(Controllable::OfUser(uid)) => catch_unwind(|| belongs_to(pid, *uid)).unwrap_or(false),
        Some(Controllable::None) | None => false,
    }
}
