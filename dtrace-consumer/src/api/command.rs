//! What can be said of the traced command?

use std::process::Command;

use super::session::{Session, Traced};

impl<C> Session<Traced, C> {
    /// Changes the command before it is started: its environment, directory, standard streams.
    pub fn configure_command(mut self, configure: impl FnOnce(&mut Command)) -> Self {
        configure(&mut self.source.command);
        self
    }
}
