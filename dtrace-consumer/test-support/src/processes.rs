//! Which processes are there, and when are they gone?

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;

/// How long a test waits before it takes what it waits for as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `done` holds.
///
/// # Panics
/// If that takes two minutes: the test has failed then.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    wait_or(|| if done() { Ok(()) } else { Err(what.to_owned()) });
}

/// Waits until `done` succeeds; its error says what is still to come.
pub(crate) fn wait_or(mut done: impl FnMut() -> Result<(), String>) {
    let limit = Instant::now() + PATIENCE;
    while let Err(what) = done() {
        assert!(Instant::now() < limit, "after {} s still not: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until this process has no child, not even a zombie.
pub fn no_children() {
    wait_until("no child process remains", || children().is_empty());
}

/// Waits until all processes have ended whose parent ended before, and reaps them as init(8) would. There
/// must be no other children.
pub fn orphans_ended() {
    while waitpid(None, None).is_ok() {}
}

/// The child processes of this process, by number.
#[must_use]
pub fn children() -> Vec<i32> {
    children_of(std::process::id()).collect()
}

/// The child processes of a process, by number.
pub fn children_of(pid: u32) -> impl Iterator<Item = i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
}

/// The children of a process, and theirs.
#[must_use]
pub fn descendants_of(pid: u32) -> Vec<i32> {
    let with_theirs = |child: i32| {
        let theirs = descendants_of(child.unsigned_abs());
        std::iter::once(child).chain(theirs)
    };
    children_of(pid).flat_map(with_theirs).collect()
}

/// Waits until the processes are gone.
///
/// # Panics
/// If one stays for two minutes.
pub fn wait_until_gone(processes: &[i32]) {
    for pid in processes {
        wait_until(&format!("process {pid} is gone"), || !exists(*pid));
    }
}

/// Whether a process is there, be it a zombie.
#[must_use]
pub fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
