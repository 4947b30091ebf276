//! Where is the real dtrace(1) for comparisons, and how is it run?

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use dtrace_consumer::locate::{Libdtrace, locate};

/// The dtrace(1) that comes with the libdtrace that this crate uses.
#[derive(Debug)]
pub struct Dtrace1 {
    program: PathBuf,
    library: Libdtrace,
    /// A copy of the D libraries without those that do not compile on this kernel.
    libraries: PathBuf,
}

/// The program, and its library.
pub(crate) fn find() -> Result<(PathBuf, Libdtrace), String> {
    let library = locate(None).map_err(|error| error.to_string())?;
    let ancestors = library.library.ancestors();
    let program = ancestors
        .flat_map(|dir| ["sbin/dtrace", "bin/dtrace", "usr/sbin/dtrace"].map(|name| dir.join(name)))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("no dtrace(1) belongs to {}", library.library.display()))?;
    Ok((program, library))
}

impl Dtrace1 {
    /// Finds dtrace(1), and makes a directory of D libraries below `scratch` that leaves out those in
    /// `without`. dtrace(1) has no other way to skip a D library that does not compile.
    ///
    /// # Errors
    /// If there is no libdtrace, none with a dtrace(1), or no D libraries beside it.
    pub fn find(scratch: &Path, without: &[String]) -> io::Result<Dtrace1> {
        let (program, library) = find().map_err(io::Error::other)?;
        if cfg!(not(target_os = "linux")) {
            return Ok(Dtrace1 { program, library, libraries: PathBuf::new() });
        }
        let beside = || library.library.with_file_name("dtrace");
        let source = library.syslibdir.clone().unwrap_or_else(beside);
        let libraries = scratch.join("libraries");
        fs::create_dir_all(&libraries)?;
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            let copy = libraries.join(entry.file_name());
            // The directory for building USDT programs needs no change.
            if !entry.path().is_dir() || entry.file_name() == "include" {
                symlink(entry.path(), copy)?;
                continue;
            }
            fs::create_dir(&copy)?;
            for file in fs::read_dir(entry.path())? {
                let file = file?;
                if !without.iter().any(|name| file.file_name() == name.as_str()) {
                    symlink(file.path(), copy.join(file.file_name()))?;
                }
            }
        }
        Ok(Dtrace1 { program, library, libraries })
    }

    /// Makes it use the libdtrace of a prefix.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn with_library_of(self, prefix: &Path) -> Dtrace1 {
        Dtrace1 { library: locate(Some(prefix)).expect("the prefix has one"), ..self }
    }

    /// Returns a command that runs dtrace(1), on Linux in a mount namespace with debugfs.
    #[must_use]
    pub fn command(&self) -> Command {
        if cfg!(not(target_os = "linux")) {
            return Command::new(&self.program);
        }
        let mut command = Command::new("unshare");
        let mount =
            "[ -e /sys/kernel/debug/tracing ] || mount -t debugfs debugfs /sys/kernel/debug";
        command.args(["-m", "sh", "-c", &format!("{mount}; exec \"$@\""), "sh"]);
        if let Some(loader) = &self.library.loader {
            command.arg(&loader.ld_so).args(["--argv0", "dtrace", "--inhibit-cache"]);
            command.arg("--library-path").arg(loader.library_path_argument());
        }
        command.arg(&self.program);
        command.arg(format!("-xsyslibdir={}", self.libraries.display()));
        command
    }
}
