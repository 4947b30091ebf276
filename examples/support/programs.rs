//! How do tests run the examples the way users do?

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// Returns all descendants of a process, including the children of its threads.
#[must_use]
pub fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()
        })
        .flat_map(|child| [vec![child], children_of(child)].concat())
        .collect()
}

/// Waits until the processes are gone. If one stays, the test hangs here.
pub fn wait_until_gone(processes: &[u32]) {
    for pid in processes {
        while Path::new(&format!("/proc/{pid}")).exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
