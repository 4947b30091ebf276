//! How does a test change what is mounted for a consumer, and for nobody else?

use std::ffi::OsString;
use std::process::Command;

use crate::printed::printed_by;

/// Runs a command in a mount namespace after `setup`, a shell script. Returns what it prints, after all of its
/// processes have ended.
///
/// # Panics
/// If it fails, or leaves something behind.
#[must_use]
pub fn printed_after(setup: &str, command: Vec<OsString>) -> String {
    let script = format!("mount --make-rprivate / && {setup} && exec \"$@\"");
    printed_by(Command::new("unshare").args(["--mount", "sh", "-c", &script, "sh"]).args(command))
}
