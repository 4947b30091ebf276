//! Linux says it in /proc and /sys.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

pub(crate) use super::kernel_objects::{Object, all as kernel_objects, held_by, together_with};

/// The child processes of a process, by number.
pub(crate) fn children_of(pid: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether a process is stopped by a signal.
pub(crate) fn is_stopped(pid: i32) -> bool {
    state(pid) == Some('T')
}

/// Whether a process is there, and has not ended.
pub(crate) fn lives(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The words of a process's command line, each with a null byte.
pub(crate) fn command_line(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// This process's command line, which may be asked for before `main`, and without /proc.
pub(crate) fn own_words() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Processes whose parent ends before them become children of this one.
pub(crate) fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("orphans become children of the test");
}

/// The number by which scripts know this thread.
pub(crate) fn this_thread() -> i64 {
    nix::unistd::gettid().as_raw().into()
}

/// Calls `action` on each CPU in turn.
pub(crate) fn on_each_cpu(action: impl Fn()) {
    let permitted = permitted_cpus();
    for cpu in numbers_of(&permitted) {
        stay_on_cpu(cpu);
        action();
    }
    sched_setaffinity(THIS_THREAD, &permitted).expect("the CPUs from before");
}

/// Has this thread run on one CPU from now on.
pub(crate) fn stay_on_one_cpu() {
    let first = numbers_of(&permitted_cpus()).next();
    stay_on_cpu(first.expect("a CPU"));
}

const THIS_THREAD: Pid = Pid::from_raw(0);

fn permitted_cpus() -> CpuSet {
    sched_getaffinity(THIS_THREAD).expect("CPUs")
}

fn numbers_of(cpus: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(|cpu| cpus.is_set(*cpu) == Ok(true))
}

fn stay_on_cpu(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu).expect("a CPU that exists");
    sched_setaffinity(THIS_THREAD, &only).expect("a CPU that is permitted");
}

/// What is mounted.
pub(crate) fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").expect("/proc is mounted")
}

/// What a descriptor of this process refers to.
pub(crate) fn target_of(descriptor: &str) -> Option<String> {
    let to = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    Some(to.display().to_string())
}

/// How many descriptors a process has; 0 before Linux 6.2, which does not say it.
pub(crate) fn number_of_descriptors(pid: i32) -> u64 {
    fs::metadata(format!("/proc/{pid}/fd")).map_or(0, |it| it.size())
}

/// Uprobe events named after one of these consumers, which are gone.
pub(crate) fn events_of(processes: &BTreeSet<i32>) -> Vec<String> {
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
            pid.is_some_and(|pid| processes.contains(&pid))
        })
        .map(str::to_owned)
        .collect()
}
