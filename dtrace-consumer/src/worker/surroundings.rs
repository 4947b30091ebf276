//! What does libdtrace need around it, and how is it had without changing the system?
//!
//! libdtrace knows one place for the kernel's tracing files, below debugfs, and reads every D library
//! that it finds. The worker gets a mount namespace of its own, in which debugfs is mounted if it was
//! missing and D libraries that are not wanted are covered by `/dev/null`. Nothing of that is seen
//! outside or outlives the worker.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const DEBUGFS: &str = "/sys/kernel/debug";
const UPROBE_EVENTS: &str = "/sys/kernel/debug/tracing/uprobe_events";

/// What could not be arranged. It is not fatal by itself: libdtrace may get along without.
#[derive(Debug)]
pub(crate) struct Shortcoming {
    pub(crate) attempt: &'static str,
    pub(crate) error: io::Error,
}

/// A mount namespace of this process's own.
pub(crate) struct Surroundings {
    private: bool,
}

impl Surroundings {
    /// Leaves the system's mount namespace, if the process may.
    pub(crate) fn enter() -> (Surroundings, Option<Shortcoming>) {
        let none = None::<&str>;
        let result = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none));
        let shortcoming = result
            .err()
            .map(|e| Shortcoming { attempt: "make a mount namespace of its own", error: e.into() });
        (Surroundings { private: shortcoming.is_none() }, shortcoming)
    }

    /// Mounts debugfs where it is missing.
    pub(crate) fn provide_debugfs(&self) -> Option<Shortcoming> {
        if !self.private || Path::new(UPROBE_EVENTS).exists() {
            return None;
        }
        mount(Some("debugfs"), DEBUGFS, Some("debugfs"), MsFlags::empty(), None::<&str>)
            .err()
            .map(|e| Shortcoming { attempt: "mount debugfs", error: e.into() })
    }

    /// Covers D libraries below `syslibdir` for which `unwanted` holds.
    pub(crate) fn cover_libraries(
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

/// Every D library file below `syslibdir`: `*.d` there and in its folders of kernel versions.
pub(crate) fn d_libraries(syslibdir: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    let is_library = |path: &PathBuf| path.extension().is_some_and(|e| e == "d") && path.is_file();
    let top = list(syslibdir);
    let below = top.iter().filter(|p| p.is_dir()).flat_map(|dir| list(dir));
    top.iter().cloned().chain(below).filter(is_library).collect()
}

/// Removes the uprobe events that killed consumers left behind: those named after a process that is
/// gone, and after this process's own number, which libdtrace would stumble over.
pub(crate) fn remove_stale_uprobe_events() {
    let own = std::process::id();
    remove_uprobe_events(|pid| pid == own || !Path::new(&format!("/proc/{pid}")).exists());
}

/// Removes the uprobe events that this process made.
pub(crate) fn remove_own_uprobe_events() {
    let own = std::process::id();
    remove_uprobe_events(|pid| pid == own);
}

fn remove_uprobe_events(of: impl Fn(u32) -> bool) {
    let Ok(events) = fs::read_to_string(UPROBE_EVENTS) else { return };
    let stale = events.lines().filter_map(event_of_consumer).filter(|(pid, _)| of(*pid));
    for (_, name) in stale {
        // One that is in use, by another consumer in another pid namespace, refuses; so it should.
        let _ = fs::OpenOptions::new()
            .append(true)
            .open(UPROBE_EVENTS)
            .and_then(|mut f| f.write_all(format!("-:{name}\n").as_bytes()));
    }
}

/// The process and `group/event` of a line like `p:dt_12_dtrace/BEGIN /usr/lib/…:0x4f`.
fn event_of_consumer(line: &str) -> Option<(u32, &str)> {
    let name = line.split_once(':')?.1.split_ascii_whitespace().next()?;
    let pid = name.strip_prefix("dt_")?.split_once('_')?.0.parse().ok()?;
    Some((pid, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uprobe_events_of_consumers_are_told_from_others() {
        let line = "p:dt_314_dtrace/BEGIN /usr/lib/libdtrace.so.2:0x000000000004f0a0";
        assert_eq!(event_of_consumer(line), Some((314, "dt_314_dtrace/BEGIN")));
        assert_eq!(event_of_consumer("p:probes/open /bin/sh:0x10"), None);
        assert_eq!(event_of_consumer("r:dt_x_y/z /bin/sh:0x10"), None);
        assert_eq!(event_of_consumer(""), None);
    }
}
