//! How do tests run the examples the way users do, and programs in C?

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Missing;

/// Returns the path of an example. Cargo puts examples into a directory beside that of the running test.
///
/// # Panics
/// If the example has not been built.
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

/// Whether every user can reach the examples. If not, one that has become another user cannot start itself again.
///
/// # Errors
/// A directory above them is closed to others.
pub fn examples_are_reachable() -> Result<(), Missing> {
    let test = std::env::current_exe().expect("the path of this test");
    let closed = test.ancestors().skip(1).find(|directory| {
        fs::metadata(directory).map_or(true, |it| it.permissions().mode() & 0o001 == 0)
    });
    match closed {
        None => Ok(()),
        Some(directory) => {
            let directory = directory.display();
            Err(Missing::new(format!("other users cannot reach programs below {directory}")))
        }
    }
}

/// Compiles a C source to `file`.
///
/// # Panics
/// If there is no compiler, or the source is wrong.
pub fn compile(source: &str, options: &[&str], file: &Path) {
    let mut cc = Command::new("cc");
    cc.args(options).args(["-x", "c", "-o"]).arg(file).args(["-", "-lpthread"]);
    let mut cc = cc.stdin(Stdio::piped()).spawn().expect("cc(1) starts");
    cc.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("cc reads");
    assert!(cc.wait().expect("a child").success(), "{}: {options:?}", file.display());
}

/// Returns what a program wrote to standard output.
#[must_use]
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what a program wrote to standard error.
#[must_use]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs an example without any privilege.
///
/// # Panics
/// If it does not start, for example because setpriv(1) is missing.
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
