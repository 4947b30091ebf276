//! What can be set for all questions that are answered without tracing?

/// Writes the methods of a query that say where libdtrace is and what becomes the worker.
macro_rules! query_methods {
    () => {
        /// Looks for libdtrace in this prefix first; see [`crate::locate`].
        pub fn prefix(mut self, prefix: impl Into<std::path::PathBuf>) -> Self {
            self.settings.prefix = Some(prefix.into());
            self
        }

        /// Names the program that is started as worker; see [`crate::Builder::worker`].
        pub fn worker(mut self, program: impl Into<std::path::PathBuf>) -> Self {
            self.settings.worker = Some(program.into());
            self
        }

        /// How the worker gets its privilege; see [`crate::Builder::elevation`].
        pub fn elevation(mut self, elevation: $crate::Elevation) -> Self {
            self.settings.elevation = elevation;
            self
        }
    };
}
pub(crate) use query_methods;
