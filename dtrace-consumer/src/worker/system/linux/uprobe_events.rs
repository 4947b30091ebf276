//! Which uprobe events has this worker created, and which have others left behind?

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::pid_namespace::is_in_initial_namespace;

pub(super) const UPROBE_EVENTS: &str = "/sys/kernel/debug/tracing/uprobe_events";

/// How long the worker waits for others who use its events.
const IN_USE: Duration = Duration::from_secs(2);

/// How often it looks whether they still do.
const LOOK: Duration = Duration::from_millis(5);

/// The file, kept open for removing events: while this process traces, it opens no file for writing.
static KEPT: OnceLock<File> = OnceLock::new();

/// Keeps the file open, without which no event is removed.
pub(super) fn keep_open() {
    // Without the file there are no events.
    if let Ok(file) = File::options().append(true).open(UPROBE_EVENTS) {
        let _ = KEPT.set(file);
    }
}

/// Removes the uprobe events that killed consumers left behind: those named after a process that has ended,
/// and those named after this process's own pid, on which libdtrace would fail.
///
/// # Errors
/// Events with this process's PID are in use. The PID is that of the PID namespace, so a process in
/// another namespace may have the same one.
pub(super) fn remove_stale() -> io::Result<()> {
    let own = std::process::id();
    // The PIDs in other PID namespaces are unknown here.
    let knows_all = is_in_initial_namespace();
    remove(|pid| pid == own || knows_all && !Path::new(&format!("/proc/{pid}")).exists());
    let is_own = |line: &str| event_of_consumer(line).is_some_and(|(pid, _)| pid == own);
    if events().lines().any(is_own) {
        let reason = "a tracer in another PID namespace has the same PID (start again: \
                      the next worker has another one)";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
    }
    Ok(())
}

/// Removes the uprobe events that this process created, and waits for a while until they can be: somebody who
/// lists this process's descriptors holds them for a moment.
pub(super) fn remove_own() {
    let own = std::process::id();
    let began = Instant::now();
    while remove(|pid| pid == own) > 0 && began.elapsed() < IN_USE {
        thread::sleep(LOOK);
    }
}

/// Returns the list of events, empty if it cannot be read. Paths in it need not be UTF-8.
fn events() -> String {
    let events = fs::read(UPROBE_EVENTS).unwrap_or_default();
    String::from_utf8_lossy(&events).into_owned()
}

/// A uprobe event that this process created for one of libdtrace's own functions.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::worker) struct OwnEvent {
    /// The name of the probe.
    pub(in crate::worker) name: String,
    pub(in crate::worker) path: String,
    /// Where in the file it is.
    pub(in crate::worker) offset: u64,
}

/// Returns the events that this process created for probes of the provider `dtrace`.
pub(in crate::worker) fn own_events() -> Vec<OwnEvent> {
    let own = std::process::id();
    events().lines().filter_map(|line| own_event(line, own)).collect()
}

/// Parses a line such as `p:dt_12_dtrace/BEGIN /usr/lib/…:0x4f`, if the process with this PID created the event.
fn own_event(line: &str, own: u32) -> Option<OwnEvent> {
    let (pid, name) = event_of_consumer(line)?;
    let name = name.strip_prefix(&format!("dt_{own}_dtrace/")).filter(|_| pid == own)?.to_owned();
    let place = line.strip_prefix("p:")?.split_once(' ')?.1;
    let (path, offset) = place.split_ascii_whitespace().next()?.rsplit_once(":0x")?;
    Some(OwnEvent { name, path: path.to_owned(), offset: u64::from_str_radix(offset, 16).ok()? })
}

/// Removes the events of these processes. Returns how many the kernel did not remove.
fn remove(of: impl Fn(u32) -> bool) -> usize {
    let Some(mut kept) = KEPT.get() else { return 0 };
    let events = events();
    let stale = events.lines().filter_map(event_of_consumer).filter(|(pid, _)| of(*pid));
    // The kernel refuses to remove one that another consumer in another pid namespace uses, as it should.
    let removed = stale.map(|(_, name)| kept.write_all(format!("-:{name}\n").as_bytes()));
    removed.filter(Result::is_err).count()
}

/// Parses the process and `group/event` from a line such as `p:dt_12_dtrace/BEGIN /usr/lib/…:0x4f`.
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

    #[test]
    fn own_events_of_libdtrace_name_a_place() {
        let line = "p:dt_314_dtrace/BEGIN /usr/lib/a:0x1/libdtrace.so.2:0x000000000004f0a0";
        let event = OwnEvent {
            name: "BEGIN".to_owned(),
            path: "/usr/lib/a:0x1/libdtrace.so.2".to_owned(),
            offset: 0x4f0a0,
        };
        assert_eq!(own_event(line, 314), Some(event));
        for (line, own) in [
            (line, 31),
            ("r:dt_314_dtrace/BEGIN /usr/lib/libdtrace.so.2:0x4f", 314),
            ("p:dt_314_pid/BEGIN /usr/lib/libdtrace.so.2:0x4f", 314),
            ("p:dt_314_dtrace/BEGIN /usr/lib/libdtrace.so.2", 314),
            ("p:dt_314_dtrace/BEGIN", 314),
            ("p:dt_314_dtrace/BEGIN /usr/lib/libdtrace.so.2:0xx", 314),
        ] {
            assert_eq!(own_event(line, own), None, "{line}");
        }
    }
}
