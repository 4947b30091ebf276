//! The processes that a session creates, as `dtrace -c` does, besides its command.

use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;

use super::place::{Hold, Place};
use super::{Held, none_given, prepare};
use crate::decode::stop::Ending;
use crate::error::Error;

/// The commands of the processes to create. Clones share them, because a command cannot be cloned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Created(Arc<Mutex<Vec<Creation>>>);

#[derive(Debug)]
struct Creation {
    command: Command,
    is_prepared: bool,
}

impl Created {
    pub(crate) fn add(&self, command: Command) {
        self.0.lock().push(Creation { command, is_prepared: false });
    }

    /// Forgets the commands, which hold the ends of pipes that the user gave them.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }

    /// Starts all processes and holds them. The first one is the target unless there is a command.
    pub(in crate::client) fn start(
        &self,
        options: &[(String, Option<String>)],
        mut target: Option<Hold>,
        ending: &Ending,
    ) -> Result<Vec<Held>, Error> {
        let mut held = Vec::new();
        for Creation { command, is_prepared } in &mut *self.0.lock() {
            if command.get_program().is_empty() {
                return Err(Error::Command { program: String::new(), cause: none_given() });
            }
            if !std::mem::replace(is_prepared, true) {
                prepare(command);
            }
            let place = Place::of_created(options, target.take());
            let process = Held::spawn(command, place, ending)?;
            process.require_no_pipes(command)?;
            held.push(process);
        }
        Ok(held)
    }
}
