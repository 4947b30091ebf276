//! Scripts from files and command lines.

use std::path::Path;

use crate::data::script::{Script, Specifier};
use crate::error::Error;

impl Script {
    /// Reads a script from a file. Messages use its name.
    ///
    /// # Errors
    /// [`Error::Script`] if the file is unreadable.
    pub fn file(path: impl AsRef<Path>) -> Result<Script, Error> {
        let path = path.as_ref();
        let script = path.display().to_string();
        match std::fs::read(path) {
            Ok(text) => Ok(Script::new(text).named(script)),
            Err(e) => Err(Error::Script { script, reason: e.to_string() }),
        }
    }

    /// Creates a script that may be a bare probe description, like the arguments of `dtrace -P`, `-m`, `-f`,
    /// `-n` and `-i`. Messages about it have no line numbers, and `$0` is the name of this program.
    #[must_use]
    pub fn probes(specifier: Specifier, program: impl Into<Vec<u8>>) -> Script {
        let program = program.into();
        let name = String::from_utf8_lossy(&program).into_owned();
        let mut script = Script::new(program).named(name);
        let program_name = std::env::args_os().next().unwrap_or_default();
        script.argument_zero = program_name.to_string_lossy().into_owned();
        script.specifier = Some(specifier);
        script
    }
}
