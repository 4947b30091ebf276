//! Is anything left behind by a session?
//!
//! Everything is compared with what was there before, and waited for: a worker goes on closing for a
//! while after its session. What another tracer has in the kernel at the end is left out.
//!
//! Processes whose parent ends before them become children of the test, so that none is overlooked.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};

use crate::kernel_objects::{self, Object};
use crate::processes::{exists, no_children, wait_or, wait_until};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Lets one test at a time go on, where tests count the children of this process.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock()
}

/// Nothing else of this process traces while a test has this, so that the guard means the test.
pub fn alone() -> (MutexGuard<'static, ()>, Guard) {
    let lock = one_at_a_time();
    (lock, Guard::new())
}

/// What was there before.
#[derive(Debug)]
pub struct Guard {
    mounts: String,
    temporary: BTreeSet<String>,
    descriptors: BTreeSet<String>,
    events: BTreeSet<String>,
    kernel: BTreeSet<Object>,
}

impl Guard {
    /// Looks around. Nothing else of this process may trace from now until
    /// [`check`](Guard::check).
    fn new() -> Guard {
        nix::sys::prctl::set_child_subreaper(true).expect("orphans become children of the test");
        no_children();
        Guard {
            mounts: mounts(),
            temporary: temporary(),
            descriptors: descriptors(),
            events: uprobe_events_of_the_dead(),
            kernel: kernel_objects::all().into_keys().collect(),
        }
    }

    /// Waits until everything is as it was.
    ///
    /// # Panics
    /// If something remains.
    pub fn check(self) {
        let new = |now: BTreeSet<String>, before: &BTreeSet<String>| -> Vec<String> {
            now.difference(before).cloned().collect()
        };
        no_children();
        assert_eq!(mounts(), self.mounts, "mounts remain");
        wait_until("descriptors are closed", || new(descriptors(), &self.descriptors).is_empty());
        assert_eq!(new(temporary(), &self.temporary), Vec::<String>::new(), "files remain");
        // Another tracer's process may end between the list of events and the look at processes.
        wait_or(|| match &new(uprobe_events_of_the_dead(), &self.events)[..] {
            [] => Ok(()),
            events => Err(format!("uprobe events are gone whose process has ended: {events:?}")),
        });
        wait_for_kernel_objects(&self.kernel);
    }
}

/// Waits until programs and maps are gone that were not there before. This process has no children any
/// more, so what another process holds is not the test's.
fn wait_for_kernel_objects(before: &BTreeSet<Object>) {
    let suspects: BTreeSet<Object> =
        kernel_objects::all().into_keys().filter(|it| !before.contains(it)).collect();
    if suspects.is_empty() {
        return;
    }
    wait_or(|| {
        let others = kernel_objects::holders();
        let theirs = |object: &Object| others.iter().any(|it| it.objects.contains(object));
        let mut remaining = kernel_objects::all();
        remaining.retain(|object, _| suspects.contains(object) && !theirs(object));
        if remaining.is_empty() {
            return Ok(());
        }
        let mut what = format!("programs and maps are gone from the kernel: {remaining:?}");
        for other in others {
            what.push_str(&format!("; {other} uses others, and may have left these"));
        }
        Err(what)
    });
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

/// Files of ours in the directory for temporary files; those of other programs come and go, and so do
/// those with the number of another process in their name.
fn temporary() -> BTreeSet<String> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let belongs_to_another = |name: &str| {
        let numbers = name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        let mut numbers = numbers.filter(|pid| *pid > 1 && exists(*pid));
        numbers.any(|pid| pid.unsigned_abs() != std::process::id())
    };
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("dtrace") && !belongs_to_another(name))
        .collect()
}

/// Uprobe events named after a consumer whose process is gone.
fn uprobe_events_of_the_dead() -> BTreeSet<String> {
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
            let pid: Option<i32> = pid.and_then(|pid| pid.parse().ok());
            pid.is_some_and(|pid| !exists(pid))
        })
        .map(str::to_owned)
        .collect()
}
