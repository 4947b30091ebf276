//! Which user does an elevated worker serve?

/// The user whom an elevated worker serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    pub(super) uid: u32,
    /// Whether libdtrace may control the user's processes.
    pub(super) grab: bool,
}
