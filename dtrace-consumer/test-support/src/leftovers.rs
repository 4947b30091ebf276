//! Is anything left behind by a session?
//!
//! It is waited for, because a worker goes on closing for a while after its session. Of what is in the kernel
//! only that counts which a process of the test had; another tracer may work beside it.
//!
//! Processes whose parent ends before them become children of the test, so that none is overlooked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use parking_lot::{Mutex, MutexGuard};

use crate::family::Watch;
use crate::processes::{children, command_line, exists, lives, no_children, reap, wait_or};
use crate::system::{self, Object};

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
    family: Watch,
}

impl Guard {
    /// Looks around. Nothing else of this process may trace from now until
    /// [`check`](Guard::check).
    fn new() -> Guard {
        system::adopt_orphans();
        no_children();
        Guard {
            mounts: system::mounts(),
            temporary: temporary(),
            descriptors: descriptors(),
            family: Watch::start(),
        }
    }

    /// The number of programs and maps in the kernel that processes of this test were seen with.
    #[must_use]
    pub fn kernel_objects(&self) -> usize {
        remaining(&system::together_with(self.family.seen().objects)).len()
    }

    /// Waits until everything is as it was.
    ///
    /// Orphans that were seen while they had another parent are reaped. A test that has run other programs than its
    /// own sessions awaits [`orphans_ended`](crate::processes::orphans_ended) first: what ended within moments was
    /// not seen.
    ///
    /// # Panics
    /// If something remains.
    pub fn check(self) {
        // A promise about what is left behind begins here.
        dtrace_consumer::cool_down();
        let new = |now: BTreeSet<String>, before: &BTreeSet<String>| -> Vec<String> {
            now.difference(before).cloned().collect()
        };
        wait_or(|| {
            reap(self.family.seen().indirect);
            match &children()[..] {
                [] => Ok(()),
                remaining => Err(format!("no child process remains: {}", described(remaining))),
            }
        });
        assert_eq!(system::mounts(), self.mounts, "mounts remain");
        wait_or(|| match &new(descriptors(), &self.descriptors)[..] {
            [] => Ok(()),
            open => Err(format!("descriptors are closed: {open:?}")),
        });
        let seen = self.family.seen();
        let mut files = new(temporary(), &self.temporary);
        files.retain(|name| !belongs_to_another(name, &seen.processes));
        assert_eq!(files, Vec::<String>::new(), "files remain");
        wait_or(|| match &system::events_of(&seen.processes)[..] {
            [] => Ok(()),
            events => Err(format!("uprobe events are gone whose process has ended: {events:?}")),
        });
        wait_for_kernel_objects(seen.objects);
    }
}

/// The numbers and command lines of processes, for the person who reads that they remain.
fn described(processes: &[i32]) -> String {
    let each = processes.iter().map(|pid| {
        let line = String::from_utf8_lossy(&command_line(*pid)).replace('\0', " ");
        let line =
            if lives(*pid) { line } else { "has ended, and nobody has waited for it".to_owned() };
        format!("{pid} ({})", line.trim_end())
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Waits until the programs and maps are gone that processes of this test had.
fn wait_for_kernel_objects(had: BTreeSet<Object>) {
    let ours = system::together_with(had);
    wait_or(|| {
        let remaining = remaining(&ours);
        if remaining.is_empty() {
            return Ok(());
        }
        Err(format!("programs and maps are gone from the kernel: {remaining:?}"))
    });
}

/// Those that are still in the kernel, with their names.
fn remaining(objects: &BTreeSet<Object>) -> BTreeMap<Object, String> {
    let mut remaining = system::kernel_objects();
    remaining.retain(|object, _| objects.contains(object));
    remaining
}

/// What open descriptors refer to, with their numbers.
fn descriptors() -> BTreeSet<String> {
    let numbers = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers: Vec<_> = numbers.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    // The directory that was read is closed now.
    numbers
        .into_iter()
        .filter_map(|number| Some(format!("{number} -> {}", system::target_of(&number)?)))
        .collect()
}

/// Files in the directory for temporary files that may be ours. Those of other programs come and go.
fn temporary() -> BTreeSet<String> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("dtrace")).collect()
}

/// Whether the name of a file has the number of a process that exists and is not one of `ours`.
fn belongs_to_another(name: &str, ours: &BTreeSet<i32>) -> bool {
    let is_ours = |pid: i32| pid.unsigned_abs() == std::process::id() || ours.contains(&pid);
    let numbers = name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    numbers.filter(|pid| *pid > 1 && exists(*pid)).any(|pid| !is_ours(pid))
}
