//! Where does a test get a disk that it may overwrite?

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Missing;

/// The variable that names a disk; `vm/lane` sets it.
const DISK: &str = "DTRACE_SCRATCH_DISK";

/// A disk that may be overwritten: the one that the variable names, or a small one in a file.
pub struct ScratchDisk {
    path: String,
    file: Option<PathBuf>,
}

impl ScratchDisk {
    /// Whether this process can have one.
    pub(crate) fn is_there() -> Result<(), Missing> {
        let can_be_made = nix::unistd::geteuid().is_root()
            && Path::new("/dev/loop-control").exists()
            && Command::new("losetup").arg("--version").output().is_ok();
        if can_be_made || std::env::var_os(DISK).is_some() {
            return Ok(());
        }
        let what =
            format!("{DISK} does not name a disk that may be overwritten, and none can be made");
        Err(Missing::new(what))
    }

    /// Takes the one that is named, or makes one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn take() -> ScratchDisk {
        if let Ok(path) = std::env::var(DISK) {
            return ScratchDisk { path, file: None };
        }
        let name = format!("scratch-disk-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let made = std::fs::File::create(&file).and_then(|file| file.set_len(1 << 20));
        made.expect("a file in the directory for temporary files");
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&file).output();
        let output = output.expect("losetup(8) can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "losetup: {said}");
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ScratchDisk { path, file: Some(file) }
    }

    /// Its device file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for ScratchDisk {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Failures here do not matter: the test has its result.
            let _ = Command::new("losetup").args(["--detach", &self.path]).status();
            let _ = std::fs::remove_file(file);
        }
    }
}
