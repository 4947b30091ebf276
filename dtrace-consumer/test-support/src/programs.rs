//! How do tests run the examples as their users do?

use std::path::PathBuf;
use std::process::{Command, Output};

/// The path of an example, which cargo leaves in a directory beside the one of the test that runs.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("a test runs from PROFILE/deps");
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing; build it with `cargo build --examples`, or run all tests",
        program.display()
    );
    program
}

/// What a program wrote to its standard output.
#[must_use]
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program wrote to its standard error.
#[must_use]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs an example without any privilege.
///
/// # Panics
/// If it does not start, for want of setpriv(1) for one.
#[must_use]
pub fn as_nobody(name: &str, arguments: &[&str]) -> Output {
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(example(name));
        command
    } else {
        Command::new(example(name))
    };
    command.args(arguments).output().expect("setpriv, of util-linux, and the program start")
}
