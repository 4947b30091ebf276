//! Prepares what libdtrace needs around it, without changing the system.
//!
//! libdtrace looks for the kernel's tracing files only below debugfs, and reads every D library that it
//! finds. The worker gets a private mount namespace. There, debugfs is mounted if it is missing,
//! and proc(5) if that of another PID namespace is mounted. `/dev/null` covers unwanted D
//! libraries. This is invisible outside, and ends with the worker.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::confinement::make_read_only;
use super::descriptors;
use super::uprobe_events::{self, UPROBE_EVENTS};
use crate::stream::job::Job;
use crate::worker::libraries::{self, d_libraries};
use crate::worker::system::Shortcoming;

const DEBUGFS: &str = "/sys/kernel/debug";

/// What in `/proc` belongs to the system, not to a process, and can be written to.
const OF_THE_SYSTEM: [&str; 5] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// Prepares what libdtrace needs. If `read_only` is set, makes the rest read-only. Returns the preparations
/// that failed.
///
/// # Errors
/// The rest cannot be made read-only.
pub(crate) fn prepare(job: &Job, read_only: bool) -> io::Result<Vec<Shortcoming>> {
    let (mut surroundings, shortcoming) = Surroundings::enter();
    let mut shortcomings = Vec::from_iter(shortcoming);
    shortcomings.extend(surroundings.provide_proc());
    shortcomings.extend(surroundings.provide_debugfs());
    if let Some(dir) = &job.syslibdir {
        let wanted = libraries::wanted(dir, &job.scripts, &job.omit, job.all_libraries);
        shortcomings.extend(surroundings.cover_libraries(dir, |file| !wanted(file)));
    }
    if read_only {
        // The worker itself opens the memory of a process at a gate for writing.
        surroundings.forbid_changes(job.held().any(|held| held.gate.is_some()))?;
    }
    // Mounts with files that are open for writing cannot be made read-only. Later, libdtrace may use up all other
    // descriptors that this process may have.
    uprobe_events::keep_open();
    descriptors::set_one_aside();
    shortcomings.extend(uprobe_events::remove_stale().err().map(|error| Shortcoming {
        attempt: "name uprobe events after this process's PID",
        error,
    }));
    Ok(shortcomings)
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
            // It is mounted. A kernel that is locked down for confidentiality leaves its tracing files out.
            .filter(|e| *e != Errno::EBUSY)
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
    fn forbid_changes(&self, except_processes: bool) -> io::Result<()> {
        if !self.private {
            return Ok(());
        }
        let processes = except_processes.then_some(Path::new("/proc"));
        let writable: Vec<&Path> = [Path::new(DEBUGFS)].into_iter().chain(processes).collect();
        let covered: Vec<&Path> = self.covered.iter().map(PathBuf::as_path).collect();
        let mut except = Vec::new();
        if except_processes {
            except.extend(OF_THE_SYSTEM.map(Path::new).into_iter().filter(|it| it.exists()));
        }
        for path in &except {
            mount(Some(*path), *path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        match make_read_only(&writable, &except, &covered) {
            // Linux before 5.12. The filters do not depend on it.
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            made => made,
        }
    }
}
