//! FreeBSD says it in answers of sysctl(3). What a session has in the kernel belongs to its open /dev/dtrace and ends
//! with that, so there is nothing else to look for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::ptr;

/// Something that a session leaves in the kernel: nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {}

pub(crate) fn kernel_objects() -> BTreeMap<Object, String> {
    BTreeMap::new()
}

pub(crate) fn together_with(objects: BTreeSet<Object>) -> BTreeSet<Object> {
    objects
}

pub(crate) fn held_by(_: u32) -> BTreeSet<Object> {
    BTreeSet::new()
}

pub(crate) fn events_of(_: &BTreeSet<i32>) -> Vec<String> {
    Vec::new()
}

pub(crate) fn number_of_descriptors(_: i32) -> u64 {
    0
}

/// The child processes of a process, by number.
pub(crate) fn children_of(pid: u32) -> Vec<i32> {
    let is_child = |it: &libc::kinfo_proc| it.ki_ppid.unsigned_abs() == pid;
    processes().iter().filter(|it| is_child(it)).map(|it| it.ki_pid).collect()
}

/// All processes.
fn processes() -> Vec<libc::kinfo_proc> {
    // SAFETY: the kernel writes whole structures, whose fields are numbers, characters or pointers.
    unsafe { answer(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PROC]) }
}

/// Whether a process is stopped by a signal.
pub(crate) fn is_stopped(pid: i32) -> bool {
    /// `SSTOP` of <sys/proc.h>.
    const STOPPED: libc::c_char = 4;
    processes().iter().any(|it| it.ki_pid == pid && it.ki_stat == STOPPED)
}

/// Whether a process is there, and has not ended.
pub(crate) fn lives(pid: i32) -> bool {
    /// `SZOMB` of <sys/proc.h>.
    const ZOMBIE: libc::c_char = 5;
    processes().iter().any(|it| it.ki_pid == pid && it.ki_stat != ZOMBIE)
}

/// The words of a process's command line, each with a null byte.
pub(crate) fn command_line(pid: i32) -> Vec<u8> {
    // SAFETY: bytes may have any value.
    unsafe { answer(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_ARGS, pid]) }
}

/// This process's command line. The standard library does not know it before `main`.
pub(crate) fn own_words() -> Vec<String> {
    let line = command_line(std::process::id().cast_signed());
    let words = line.split_inclusive(|byte| *byte == 0).map(|word| &word[..word.len() - 1]);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// What sysctl(3) answers; nothing if it fails.
///
/// # Safety
/// What the kernel writes must be values of the type.
unsafe fn answer<T>(name: &[libc::c_int]) -> Vec<T> {
    let length = libc::c_uint::try_from(name.len()).expect("a short name");
    let (mut answer, mut size) = (Vec::<T>::new(), 0);
    loop {
        let into =
            if answer.capacity() == 0 { ptr::null_mut() } else { answer.as_mut_ptr().cast() };
        // SAFETY: the name is read as far as its length says, and `size` bytes of `into` are written at most.
        let asked =
            unsafe { libc::sysctl(name.as_ptr(), length, into, &raw mut size, ptr::null(), 0) };
        match std::io::Error::last_os_error().raw_os_error() {
            _ if asked == 0 && !into.is_null() => break,
            // It has grown meanwhile.
            _ if asked == 0 => {}
            Some(libc::ENOMEM) => {}
            _ => return Vec::new(),
        }
        answer.reserve((size / size_of::<T>()).max(answer.capacity()) + 32);
        size = answer.capacity() * size_of::<T>();
    }
    // SAFETY: so many were written, which are values of the type as the caller promises.
    unsafe { answer.set_len(size / size_of::<T>()) };
    answer
}

/// Processes whose parent ends before them become children of this one.
pub(crate) fn adopt_orphans() {
    // SAFETY: the request takes no data.
    let acquired = unsafe {
        libc::procctl(
            libc::P_PID,
            std::process::id().into(),
            libc::PROC_REAP_ACQUIRE,
            ptr::null_mut(),
        )
    };
    let error = std::io::Error::last_os_error();
    let is_reaper = acquired == 0 || error.raw_os_error() == Some(libc::EBUSY);
    assert!(is_reaper, "orphans become children of the test: {error}");
}

/// The number by which scripts know this thread.
pub(crate) fn this_thread() -> i64 {
    let mut number = 0;
    // SAFETY: the call writes one number.
    unsafe { libc::thr_self(&raw mut number) };
    number
}

/// Calls `action` on each CPU in turn.
pub(crate) fn on_each_cpu(action: impl Fn()) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    for cpu in 0..cpus {
        stay_on(cpu..cpu + 1);
        action();
    }
    stay_on(0..cpus);
}

/// Has this thread run on one CPU from now on.
pub(crate) fn stay_on_one_cpu() {
    stay_on(0..1);
}

fn stay_on(cpus: std::ops::Range<usize>) {
    // SAFETY: no CPU is in a set of zeros. The numbers are below the set's size on any machine for tests; the call
    // reads the set.
    let set = unsafe {
        let mut set: libc::cpuset_t = std::mem::zeroed();
        cpus.for_each(|cpu| libc::CPU_SET(cpu, &mut set));
        let (this_thread, size) = (-1, size_of::<libc::cpuset_t>());
        let (level, which) = (libc::CPU_LEVEL_WHICH, libc::CPU_WHICH_TID);
        libc::cpuset_setaffinity(level, which, this_thread, size, &raw const set)
    };
    assert_eq!(set, 0, "CPUs that are there");
}

/// What is mounted.
pub(crate) fn mounts() -> String {
    let output = Command::new("mount").arg("-p").output().expect("mount(8) can be run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a descriptor of this process refers to. Only the kind of file is known.
pub(crate) fn target_of(descriptor: &str) -> Option<String> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the call writes the structure if it succeeds.
    let status = unsafe {
        let found = libc::fstat(descriptor.parse().ok()?, status.as_mut_ptr()) == 0;
        found.then(|| status.assume_init())?
    };
    Some(format!("{:o} {}:{}", status.st_mode & libc::S_IFMT, status.st_dev, status.st_ino))
}
