//! What does a worker inherit from this process, and what does libdtrace read of the system when it is opened?

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::client::lossy::read_lossy;

/// Lines of this thread's status that a process inherits. Others change all the time.
const INHERITED: [&str; 17] = [
    "Umask",
    "PPid",
    "NSpgid",
    "NSsid",
    "Uid",
    "Gid",
    "Groups",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
];

/// Files about this process and the system. Those that do not exist count as empty.
const FILES: [&str; 12] = [
    "/proc/thread-self/personality",
    "/proc/thread-self/coredump_filter",
    "/proc/thread-self/limits",
    "/proc/thread-self/cgroup",
    "/proc/thread-self/attr/current",
    "/proc/thread-self/oom_score_adj",
    "/proc/thread-self/mountinfo",
    "/sys/devices/system/cpu/online",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/perf_event_max_stack",
    "/sys/kernel/security/lockdown",
];

const NAMESPACES: [&str; 8] =
    ["cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts"];

/// Returns them by name. `files` are the program and its library.
pub(in crate::client) fn circumstances(files: &[&Path]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = vec![("the environment", environment()), ("the status", status())];
    found.push(("the priority", priority()));
    found.push(("the kernel's modules", modules()));
    found.extend(FILES.map(|file| (file, fs::read(file).unwrap_or_default())));
    for namespace in NAMESPACES {
        let link = fs::read_link(format!("/proc/thread-self/ns/{namespace}")).unwrap_or_default();
        found.push((namespace, link.as_os_str().as_bytes().to_vec()));
    }
    let places = [("the working directory", Path::new(".")), ("the root", Path::new("/"))];
    found.extend(places.map(|(name, place)| (name, identity(place))));
    found.extend(files.iter().map(|file| ("a file", identity(file))));
    found
}

fn environment() -> Vec<u8> {
    let mut all = Vec::new();
    for (name, value) in std::env::vars_os() {
        all.extend_from_slice(name.as_bytes());
        all.push(b'=');
        all.extend_from_slice(value.as_bytes());
        all.push(0);
    }
    all
}

fn status() -> Vec<u8> {
    let status = read_lossy("/proc/thread-self/status").unwrap_or_default();
    let is_inherited =
        |line: &&str| line.split_once(':').is_some_and(|(name, _)| INHERITED.contains(&name));
    status.lines().filter(is_inherited).collect::<Vec<_>>().join("\n").into_bytes()
}

/// Returns the fields of proc(5)'s `stat` for priority, nice value, real-time priority and policy.
fn priority() -> Vec<u8> {
    let stat = read_lossy("/proc/thread-self/stat").unwrap_or_default();
    // The name, which comes before, may have any character.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    [18, 19, 40, 41].map(field).join(" ").into_bytes()
}

/// Returns the names, sizes and addresses of the kernel's modules, without how often they are in use.
fn modules() -> Vec<u8> {
    let modules = read_lossy("/proc/modules").unwrap_or_default();
    let stable = modules.lines().flat_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        [0, 1, 4, 5].map(|at| format!("{} ", words.get(at).copied().unwrap_or_default()))
    });
    stable.collect::<String>().into_bytes()
}

/// Returns which file this is and its state, and the same of a link to it.
fn identity(path: &Path) -> Vec<u8> {
    let state = |it: fs::Metadata| match it.is_dir() {
        // Directories change as files come and go in them.
        true => vec![it.dev(), it.ino()],
        false => {
            let times = [it.mtime(), it.mtime_nsec()].map(i64::cast_unsigned);
            [&[it.dev(), it.ino(), it.size()], &times[..]].concat()
        }
    };
    let both = [fs::metadata(path), fs::symlink_metadata(path)];
    let states = both.into_iter().flat_map(|found| found.map(state).unwrap_or_default());
    states.flat_map(u64::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn they_are_the_same_until_something_changes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let look = || circumstances(&[file.path()]);
        let first = look();
        assert_eq!(first, look());
        let in_another_thread = std::thread::scope(|scope| scope.spawn(look).join());
        assert_eq!(in_another_thread.ok().as_ref(), Some(&first));
        // A kernel may lack others.
        for always in ["the status", "the priority", "the working directory", "mnt"] {
            assert!(first.iter().any(|(name, it)| *name == always && !it.is_empty()), "{always}");
        }
        std::fs::write(file.path(), "changed").expect("written");
        let changed: Vec<_> =
            look().into_iter().zip(first).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
        assert_eq!(changed, ["a file"]);
    }
}
