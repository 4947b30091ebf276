//! How is a program started with the C library of a private prefix?

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::path;

/// The dynamic loader of a private prefix: `ld_so --inhibit-cache --library-path … program`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// The loader, such as `ld-linux-x86-64.so.2`, from the same C library as the prefix's.
    pub ld_so: PathBuf,
    /// Where it searches for libraries: first the prefix, then the system's directories for libraries
    /// that only the program needs. It replaces `LD_LIBRARY_PATH`.
    pub library_path: Vec<PathBuf>,
}

impl Loader {
    /// Returns the loader of the prefix whose libraries are in `directory`.
    pub(super) fn of_prefix(ld_so: PathBuf, directory: PathBuf, system: &[PathBuf]) -> Loader {
        let system = system.iter().filter(|it| path::unusable_in_library_path(it).is_none());
        Loader { ld_so, library_path: std::iter::once(directory).chain(system.cloned()).collect() }
    }

    /// Returns a command that starts the program through this loader; the caller adds the program's
    /// arguments.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.ld_so);
        command.arg("--inhibit-cache").arg("--library-path");
        command.arg(self.library_path_argument()).arg(program);
        command
    }

    /// Returns `library_path` joined with colons, for the loader's argument `--library-path`.
    #[must_use]
    pub fn library_path_argument(&self) -> OsString {
        let mut joined = OsString::new();
        for directory in &self.library_path {
            if !joined.is_empty() {
                joined.push(":");
            }
            joined.push(directory);
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_starts_with_the_prefixs_libraries_before_the_systems() {
        // A directory with a colon would be taken for two others.
        let system = ["/usr/lib", "/opt/a:b"].map(PathBuf::from);
        let loader = Loader::of_prefix("/p/ld.so".into(), "/p".into(), &system);
        let command = loader.command(Path::new("/bin/tool"));
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(command.get_program(), "/p/ld.so");
        assert_eq!(arguments, ["--inhibit-cache", "--library-path", "/p:/usr/lib", "/bin/tool"]);
    }
}
