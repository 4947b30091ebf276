//! Has it been decided whether a query may load its libdtrace?

use std::ops::Deref;

use super::settings::Settings;

/// Settings for which [`admitted`](super::admit::admitted) or a session has decided it, or those of a self-check, which
/// is about to. Queries take nothing else, and only this layer makes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admitted<'s>(&'s Settings);

impl<'s> Admitted<'s> {
    /// Notes that it has been decided.
    pub(super) fn of(settings: &'s Settings) -> Admitted<'s> {
        Admitted(settings)
    }
}

impl Deref for Admitted<'_> {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        self.0
    }
}
