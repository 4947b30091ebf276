//! Is anything left behind by a session?
//!
//! Everything is compared with what was there before, and waited for: a worker goes on closing for a
//! while after its session.
//!
//! Processes whose parent ends before them become children of the test, so that none is overlooked. Other
//! programs may trace meanwhile: their programs and maps in the kernel go in time, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use aya::maps::loaded_maps;
use aya::programs::loaded_programs;
use nix::sys::wait::waitpid;
use parking_lot::{Mutex, MutexGuard};

use super::wait_until;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Nothing else of this process traces while a test has this, so that the guard means the test.
pub fn alone() -> (MutexGuard<'static, ()>, Guard) {
    let lock = ONE_AT_A_TIME.lock();
    (lock, Guard::new())
}

/// What was there before.
#[derive(Debug)]
pub struct Guard {
    mounts: String,
    temporary: BTreeSet<String>,
    descriptors: BTreeSet<String>,
    events: BTreeSet<String>,
    kernel: BTreeSet<String>,
}

impl Guard {
    /// Looks around. Nothing else of this process may trace from now until
    /// [`check`](Guard::check).
    #[must_use]
    pub fn new() -> Guard {
        nix::sys::prctl::set_child_subreaper(true).expect("orphans can be had");
        no_children();
        Guard {
            mounts: mounts(),
            temporary: temporary(),
            descriptors: descriptors(),
            events: uprobe_events_of_the_dead(),
            kernel: kernel_objects(),
        }
    }

    /// Waits until everything is as it was.
    pub fn check(self) {
        no_children();
        let events = uprobe_events_of_the_dead();
        assert!(events.is_subset(&self.events), "uprobe events remain: {events:?}");
        assert_eq!(mounts(), self.mounts, "mounts remain");
        let new = |now: BTreeSet<String>, before: &BTreeSet<String>| -> Vec<String> {
            now.difference(before).cloned().collect()
        };
        wait_until("descriptors are closed", || new(descriptors(), &self.descriptors).is_empty());
        assert_eq!(new(temporary(), &self.temporary), Vec::<String>::new(), "files remain");
        let suspects: BTreeSet<String> = new(kernel_objects(), &self.kernel).into_iter().collect();
        wait_until("programs and maps are gone from the kernel", || {
            kernel_objects().is_disjoint(&suspects)
        });
    }
}

/// Waits until this process has no child, not even a zombie.
pub fn no_children() {
    wait_until("no child process remains", || children().is_empty());
}

/// Waits until all processes have ended whose parent ended before, and takes notice of it as init(8)
/// would. There must be no other children.
pub fn orphans_ended() {
    while waitpid(None, None).is_ok() {}
}

/// The child processes of this process, by number.
#[must_use]
pub fn children() -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Programs and maps in the kernel, each with its number, which is not used again. Without the
/// privilege to ask there are none.
#[must_use]
pub fn kernel_objects() -> BTreeSet<String> {
    let programs =
        loaded_programs().flatten().map(|it| (it.id(), it.name_as_str().map(str::to_owned)));
    let programs = programs.map(|(id, name)| format!("program {id} {}", name.unwrap_or_default()));
    let maps = loaded_maps().flatten();
    let maps = maps.map(|it| format!("map {} {}", it.id(), it.name_as_str().unwrap_or_default()));
    programs.chain(maps).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").expect("/proc is mounted")
}

/// What open descriptors refer to, with their numbers.
fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries
        .filter_map(|fd| {
            let to = fs::read_link(fd.path()).ok()?;
            Some(format!("{} -> {}", fd.file_name().to_string_lossy(), to.display()))
        })
        // The directory that is being read.
        .filter(|line| !line.contains("/proc/"))
        .collect()
}

/// Files of ours in the directory for temporary files; those of other programs come and go.
fn temporary() -> BTreeSet<String> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("dtrace"))
        .collect()
}

/// Uprobe events named after a consumer whose process is gone.
#[must_use]
pub fn uprobe_events_of_the_dead() -> BTreeSet<String> {
    let script = "mount --make-rslave / 2>/dev/null
        test -e /sys/kernel/debug/tracing || mount -t debugfs d /sys/kernel/debug
        cat /sys/kernel/debug/tracing/uprobe_events";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).output();
    let output = output.expect("unshare(1) can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| {
            let pid = line.split_once(":dt_").and_then(|(_, rest)| rest.split('_').next());
            let pid: Option<u32> = pid.and_then(|pid| pid.parse().ok());
            pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .map(str::to_owned)
        .collect()
}
