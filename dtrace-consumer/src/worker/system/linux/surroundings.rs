//! Prepares what libdtrace needs around it, without changing the system.
//!
//! libdtrace looks for the kernel's tracing files only below debugfs, and reads every D library that it
//! finds. The worker gets a private mount namespace. There, debugfs is mounted if it is missing, proc if that of
//! another PID namespace is mounted, and `/dev/null` covers D libraries that are not wanted. This is invisible outside, and ends with the worker.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::uprobe_events::{self, UPROBE_EVENTS};
use crate::stream::job::Job;
use crate::worker::libraries::{self, d_libraries};
use crate::worker::system::Shortcoming;

const DEBUGFS: &str = "/sys/kernel/debug";

/// Prepares what libdtrace needs. Returns the preparations that failed.
pub(crate) fn prepare(job: &Job) -> Vec<Shortcoming> {
    let (surroundings, shortcoming) = Surroundings::enter();
    let mut shortcomings = Vec::from_iter(shortcoming);
    shortcomings.extend(surroundings.provide_proc());
    shortcomings.extend(surroundings.provide_debugfs());
    shortcomings.extend(uprobe_events::remove_stale().err().map(|error| Shortcoming {
        attempt: "name uprobe events after this process's number",
        error,
    }));
    if let Some(dir) = &job.syslibdir {
        let wanted = libraries::wanted(dir, &job.scripts, &job.omit, job.all_libraries);
        shortcomings.extend(surroundings.cover_libraries(dir, |file| !wanted(file)));
    }
    shortcomings
}

/// A private mount namespace.
struct Surroundings {
    private: bool,
}

impl Surroundings {
    /// Leaves the system's mount namespace, if the process is permitted to.
    fn enter() -> (Surroundings, Option<Shortcoming>) {
        let none = None::<&str>;
        let result = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none));
        let shortcoming = result
            .err()
            .map(|e| Shortcoming { attempt: "create a private mount namespace", error: e.into() });
        (Surroundings { private: shortcoming.is_none() }, shortcoming)
    }

    /// Mounts the proc(5) of this PID namespace, if there is that of another one. libdtrace looks for its own
    /// process and for those that it traces there, by their numbers in this one.
    fn provide_proc(&self) -> Option<Shortcoming> {
        let own = std::process::id().to_string();
        let is_own = fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == &*own);
        if is_own || !self.private {
            return None;
        }
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
            .err()
            .map(|e| Shortcoming { attempt: "mount proc", error: e.into() })
    }

    /// Mounts debugfs if it is missing.
    fn provide_debugfs(&self) -> Option<Shortcoming> {
        if !self.private || Path::new(UPROBE_EVENTS).exists() {
            return None;
        }
        mount(Some("debugfs"), DEBUGFS, Some("debugfs"), MsFlags::empty(), None::<&str>)
            .err()
            .map(|e| Shortcoming { attempt: "mount debugfs", error: e.into() })
    }

    /// Covers the D libraries below `syslibdir` for which `unwanted` returns true.
    fn cover_libraries(
        &self,
        syslibdir: &Path,
        unwanted: impl Fn(&Path) -> bool,
    ) -> Option<Shortcoming> {
        if !self.private {
            return None;
        }
        for file in d_libraries(syslibdir).into_iter().filter(|file| unwanted(file)) {
            let none = None::<&str>;
            if let Err(e) = mount(Some("/dev/null"), &file, none, MsFlags::MS_BIND, none) {
                return Some(Shortcoming { attempt: "cover a D library", error: e.into() });
            }
        }
        None
    }
}
