//! What does a command print that has ended and left nothing behind?

use std::process::{Command, Stdio};

use crate::leftovers::alone;
use crate::processes::orphans_ended;

/// Runs a command without input. Returns what it prints, after all of its processes have ended.
///
/// # Panics
/// If it fails, or leaves something behind.
#[must_use]
pub fn printed_by(command: &mut Command) -> String {
    let (_lock, guard) = alone();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    orphans_ended();
    guard.check();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
