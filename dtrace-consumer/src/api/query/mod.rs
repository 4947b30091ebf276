//! Queries that libdtrace answers without tracing.

mod probes;
mod symbols;
mod types;

use std::path::PathBuf;

pub use probes::{ProbeQuery, Probes};
pub use symbols::{SymbolQuery, Symbols};
pub use types::{TypeQuery, Types};

use crate::client::elevation::Elevation;
use crate::client::settings::Settings;

/// A query to libdtrace: [`ProbeQuery`], [`SymbolQuery`] or [`TypeQuery`].
#[derive(Debug, Clone, Default)]
#[must_use = "a query does nothing until it is asked"]
pub struct Query<Q> {
    about: Q,
    settings: Settings,
}

impl<Q> Query<Q> {
    /// Sets a prefix to look for libdtrace in first; see [`crate::locate`].
    pub fn prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.settings.access.prefix = Some(prefix.into());
        self
    }

    /// Sets the worker's program; see [`Session::worker`](crate::Session::worker).
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.settings.access.worker = Some(program.into());
        self
    }

    /// Sets how the worker gets its privilege; see [`Session::elevation`](crate::Session::elevation).
    pub fn elevation(mut self, elevation: Elevation) -> Self {
        self.settings.access.elevation = elevation;
        self
    }
}
