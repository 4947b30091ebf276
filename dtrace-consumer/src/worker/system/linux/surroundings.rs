//! Prepares what libdtrace needs around it, without changing the system.
//!
//! libdtrace looks for the kernel's tracing files only below debugfs, and reads every D library that it
//! finds. The worker gets a private mount namespace. There, debugfs is mounted if it is missing,
//! and proc(5) if that of another PID namespace is mounted. `/dev/null` covers unwanted D
//! libraries. This is invisible outside, and ends with the worker.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::confinement::make_read_only;
use super::uprobe_events::{self, UPROBE_EVENTS};
use crate::stream::job::{Job, Process};
use crate::worker::libraries::{self, d_libraries};
use crate::worker::system::Shortcoming;

const DEBUGFS: &str = "/sys/kernel/debug";

/// Prepares what libdtrace needs. If `read_only` is set, makes the rest read-only. Returns the preparations
/// that failed.
pub(crate) fn prepare(job: &Job, read_only: bool) -> Vec<Shortcoming> {
    let (mut surroundings, shortcoming) = Surroundings::enter();
    let mut shortcomings = Vec::from_iter(shortcoming);
    shortcomings.extend(surroundings.provide_proc());
    shortcomings.extend(surroundings.provide_debugfs());
    shortcomings.extend(uprobe_events::remove_stale().err().map(|error| Shortcoming {
        attempt: "name uprobe events after this process's PID",
        error,
    }));
    if let Some(dir) = &job.syslibdir {
        let wanted = libraries::wanted(dir, &job.scripts, &job.omit, job.all_libraries);
        shortcomings.extend(surroundings.cover_libraries(dir, |file| !wanted(file)));
    }
    if read_only {
        surroundings.forbid_changes(has_gate(job));
    }
    shortcomings
}

/// Returns whether a held process is at a gate. The worker itself opens its memory for writing.
fn has_gate(job: &Job) -> bool {
    let created = job.processes.iter().filter_map(|process| match process {
        Process::Created(held) => Some(held),
        Process::Grab(_) => None,
    });
    job.target.iter().chain(created).any(|held| held.gate.is_some())
}

/// A private mount namespace.
struct Surroundings {
    private: bool,
    /// The D libraries that `/dev/null` covers.
    covered: Vec<PathBuf>,
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
        (Surroundings { private: shortcoming.is_none(), covered: Vec::new() }, shortcoming)
    }

    /// Mounts the proc(5) of this PID namespace over that of another one. There libdtrace looks for
    /// its own process and for those that it traces, by their PIDs in this namespace.
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
        &mut self,
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
            self.covered.push(file);
        }
        None
    }

    /// Makes everything read-only that libdtrace does not write to.
    fn forbid_changes(&self, except_processes: bool) {
        if !self.private {
            return;
        }
        let processes = except_processes.then_some(Path::new("/proc"));
        let writable: Vec<&Path> = [Path::new(DEBUGFS)].into_iter().chain(processes).collect();
        let covered: Vec<&Path> = self.covered.iter().map(PathBuf::as_path).collect();
        // Old kernels cannot do it. Filters and Landlock do not depend on it.
        let _ = make_read_only(&writable, &covered);
    }
}
