//! How does a test change what is mounted for a consumer, and for nobody else?

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::leftovers::alone;
use crate::processes::orphans_ended;

/// Runs a command in a mount namespace after `setup`, a shell script. Returns what it prints, after all of its
/// processes have ended.
///
/// # Panics
/// If it fails, or leaves something behind.
#[must_use]
pub fn printed_after(setup: &str, command: Vec<OsString>) -> String {
    let (_lock, guard) = alone();
    let script = format!("mount --make-rprivate / && {setup} && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1) can be run");
    orphans_ended();
    guard.check();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{setup}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
