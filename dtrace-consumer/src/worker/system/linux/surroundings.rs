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
use super::held_process::prepare_to_open_gate;
use super::pid_namespace::proc_is_own;
use super::tracing_files;
use super::uprobe_events::{self, UPROBE_EVENTS};
use crate::stream::job::Job;
use crate::worker::libraries::{self, d_libraries};
use crate::worker::system::Shortcoming;

const DEBUGFS: &str = "/sys/kernel/debug";

/// What in `/proc` belongs to the system, not to a process, and can be written to.
const OF_THE_SYSTEM: [&str; 5] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// What a worker has prepared around libdtrace.
pub(crate) struct Surroundings {
    /// Whether there is a private mount namespace.
    private: bool,
    /// The D libraries that `/dev/null` covers.
    covered: Vec<PathBuf>,
    /// The preparations that failed, whatever the session.
    shortcomings: Vec<Shortcoming>,
}

impl Surroundings {
    /// Prepares what libdtrace needs for every session.
    pub(crate) fn enter() -> Surroundings {
        let attempt = "create a private mount namespace";
        let shortcoming = leave_namespace().err().map(|e| Shortcoming::new(attempt, e));
        let mut surroundings = Surroundings {
            private: shortcoming.is_none(),
            covered: Vec::new(),
            shortcomings: Vec::from_iter(shortcoming),
        };
        let missing = [surroundings.provide_proc(), surroundings.provide_debugfs()];
        surroundings.shortcomings.extend(missing.into_iter().flatten());
        surroundings
    }

    /// Prepares what a session needs. If it is for another user, makes the rest read-only, and opens what is to be
    /// written to once the worker is confined. Returns the preparations that failed, also earlier.
    ///
    /// # Errors
    /// The rest cannot be made read-only.
    pub(crate) fn prepare(
        &mut self,
        job: &Job,
        for_other: Option<u32>,
    ) -> io::Result<Vec<Shortcoming>> {
        let mut shortcomings = self.shortcomings.clone();
        if let Some(dir) = &job.syslibdir {
            let wanted = libraries::wanted(dir, &job.scripts, &job.omit, job.all_libraries);
            shortcomings.extend(self.cover_libraries(dir, |file| !wanted(file)));
        }
        // Mounts with files that are open for writing cannot be made read-only, so this comes first.
        if let Some(user) = for_other {
            let gated = || job.held().filter(|held| held.gate.is_some());
            self.forbid_changes(gated().next().is_some())?;
            tracing_files::keep_open();
            gated().for_each(|held| prepare_to_open_gate(held.pid, user));
        }
        // Later, libdtrace may use up all other descriptors that this process may have.
        uprobe_events::keep_open();
        descriptors::set_one_aside();
        let named = uprobe_events::remove_stale();
        let attempt = "name uprobe events after this process's PID";
        shortcomings.extend(named.err().map(|error| Shortcoming::new(attempt, error)));
        Ok(shortcomings)
    }

    /// Mounts the proc(5) of this PID namespace over that of another one. There libdtrace looks for
    /// its own process and for those that it traces, by their PIDs in this namespace.
    fn provide_proc(&self) -> Option<Shortcoming> {
        if proc_is_own() || !self.private {
            return None;
        }
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
            .err()
            .map(|e| Shortcoming::new("mount proc", e))
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
            .map(|e| Shortcoming::new("mount debugfs", e))
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
                return Some(Shortcoming::new("cover a D library", e));
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

/// Finds out whether libdtrace may be opened before [`Surroundings::enter`], in a process that ends afterwards. What it looks
/// up about its process must be there, and files that it has mapped must keep their paths. In a chroot, they are outside of the
/// root once the process has mounts of its own, and libdtrace could not place its own probes.
pub(crate) fn try_opening_first() -> bool {
    let executable = || fs::read_link("/proc/self/exe").ok();
    let before = executable();
    // If it fails, there will be no mounts of its own.
    let _ = leave_namespace();
    proc_is_own() && before.is_some() && before == executable()
}

/// Gives this process a mount namespace of its own, from which no mount leaves.
fn leave_namespace() -> nix::Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
}
