//! What does tracing require of a Linux kernel, and does this process have the privilege?

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};

use crate::client::lossy::read_lossy;
use crate::error::unavailable::Check;

/// Checks the requirements on the kernel.
pub(in crate::client) fn kernel() -> [Check; 4] {
    [btf(), lockdown(), debugfs(), proc_files()]
}

/// Numbers of capabilities in `capability.h`: CAP_SYS_ADMIN, to load programs that read kernel memory, and
/// CAP_DAC_OVERRIDE, to open files of debugfs, which belong to root.
const CAPABILITIES: [u32; 2] = [21, 1];

/// Checks whether this process may trace.
pub(in crate::client) fn privilege() -> Check {
    let Ok(status) = read_lossy("/proc/self/status") else {
        let detail = "unknown, because /proc/self/status cannot be read";
        return Check::unmet("privilege", detail, "mount /proc");
    };
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if !in_first_user_namespace() {
        return Check::unmet(
            "privilege",
            "this process is in a user namespace, where capabilities do not permit tracing the kernel",
            "run it outside user namespaces, such as those of rootless containers",
        );
    }
    match effective {
        Some(mask) if CAPABILITIES.iter().all(|n| mask >> n & 1 == 1) => {
            Check::met("privilege", "this process may load tracing programs into the kernel")
        }
        _ => Check::unmet(
            "privilege",
            "this process may not load tracing programs into the kernel",
            "let its worker get it from sudo or doas (elevation), or run it as root or with the ambient \
             capabilities CAP_SYS_ADMIN and CAP_DAC_OVERRIDE",
        ),
    }
}

/// Returns whether the process is in the initial user namespace, whose inode number is fixed.
/// Another check reports an unreadable /proc.
fn in_first_user_namespace() -> bool {
    let namespace = fs::read_link("/proc/self/ns/user");
    namespace.map_or(true, |link| link.as_os_str() == "user:[4026531837]")
}

fn btf() -> Check {
    const FILE: &str = "/sys/kernel/btf/vmlinux";
    match header_and_length(FILE) {
        Ok((header, length)) if is_btf(&header, length) => Check::met("kernel types", FILE),
        Ok(_) => Check::unmet(
            "kernel types",
            format!("{FILE} is damaged or incomplete"),
            "remove what is mounted over it, or boot another kernel",
        ),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Check::unmet(
            "kernel types",
            format!("the kernel has no {FILE}"),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions build theirs",
        ),
        Err(e) => Check::unmet(
            "kernel types",
            format!("{FILE} cannot be read: {e}"),
            "mount /sys, and make the file readable",
        ),
    }
}

/// The length of the parts of a BTF header that are read.
const HEADER: usize = 24;

fn header_and_length(file: &str) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(file)?;
    let length = file.metadata()?.len();
    let mut header = Vec::new();
    file.take(HEADER as u64).read_to_end(&mut header)?;
    Ok((header, length))
}

/// Returns whether a file of this length with this header holds all types and strings that the header declares.
fn is_btf(header: &[u8], length: u64) -> bool {
    const MAGIC: u16 = 0xeb9f;
    let Some(header) = header.first_chunk::<HEADER>() else { return false };
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        u64::from(u32::from_ne_bytes(bytes))
    };
    // The header's length; offset and length of types, and of strings, counted from the header's end.
    let [own, types, types_length, strings, strings_length] = [4, 8, 12, 16, 20].map(number);
    let end = own + (types + types_length).max(strings + strings_length);
    u16::from_ne_bytes([header[0], header[1]]) == MAGIC && end <= length
}

/// Returns whether the kernel's function tracing has turned itself off, which it does for good after an error.
pub(in crate::client) fn functions_are_off() -> bool {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].into_iter().any(|directory| {
        let list = File::open(format!("{directory}/available_filter_functions"));
        list.is_err_and(|e| e.raw_os_error() == Some(libc::ENODEV))
    })
}

fn lockdown() -> Check {
    let state = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if state.contains("[confidentiality]") {
        Check::unmet(
            "lockdown",
            "the kernel is locked down for confidentiality, which forbids reading its memory",
            "boot with lockdown=integrity or none",
        )
    } else {
        Check::met("lockdown", "the kernel permits reading its memory")
    }
}

fn debugfs() -> Check {
    const FILE: &str = "/sys/kernel/debug/tracing/uprobe_events";
    match File::open(FILE) {
        Ok(_) => return Check::met("debugfs", "mounted"),
        Err(e) if is_left_out(&e) => {
            return Check::unmet(
                "debugfs",
                format!("the kernel does not provide {FILE}: {e}"),
                "boot without lockdown for confidentiality, a kernel built with CONFIG_UPROBE_EVENTS",
            );
        }
        Err(_) => {}
    }
    let Ok(filesystems) = fs::read_to_string("/proc/filesystems") else {
        let detail = "unknown, because /proc/filesystems cannot be read";
        return Check::unmet("debugfs", detail, "mount /proc");
    };
    if filesystems.split_whitespace().any(|word| word == "debugfs") {
        Check::met(
            "debugfs",
            "not mounted, or not readable by this user; the worker mounts its own",
        )
    } else {
        Check::unmet(
            "debugfs",
            "the kernel has no debugfs",
            "boot without `debugfs=off`, a kernel built with CONFIG_DEBUG_FS and CONFIG_UPROBE_EVENTS",
        )
    }
}

/// Returns whether the kernel itself is the reason why a file of its debugfs cannot be opened. A file system that the
/// worker covers with its own is not.
fn is_left_out(error: &io::Error) -> bool {
    let is_debugfs = || {
        let mounted = nix::sys::statfs::statfs("/sys/kernel/debug");
        mounted.is_ok_and(|it| it.filesystem_type() == nix::sys::statfs::DEBUGFS_MAGIC)
    };
    // Not EACCES: other users may not open it.
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EPERM)) && is_debugfs()
}

fn proc_files() -> Check {
    const FILE: &str = "/proc/sys/kernel/perf_event_max_stack";
    // libdtrace aborts without it.
    if !Path::new(FILE).exists() {
        return Check::unmet(
            "proc",
            format!("{FILE} is missing"),
            "mount /proc, and boot a kernel built with CONFIG_PERF_EVENTS",
        );
    }
    // There, the process with this PID is another one.
    if super::number_in_proc().ok() == Some(std::process::id()) {
        return Check::met("proc", "mounted");
    }
    Check::unmet(
        "proc",
        "/proc does not show the processes of this PID namespace, so libdtrace would inspect others",
        "mount the namespace's own: mount -t proc proc /proc",
    )
}

/// Checks which means of confining a worker the kernel has. Only an elevated worker requires them.
pub(in crate::client) fn confinement(is_elevated: bool) -> Check {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let filters = actions.split_whitespace().any(|action| action == "kill_process");
    let landlock = match landlock_version() {
        None => "no Landlock".to_owned(),
        Some(version) => format!("Landlock (ABI {version})"),
    };
    if filters {
        return Check::met("confinement", format!("system-call filters, {landlock}"));
    }
    let detail = format!("no system-call filters, {landlock}");
    if !is_elevated {
        return Check::met("confinement", detail);
    }
    let remedy = "boot a kernel built with CONFIG_SECCOMP_FILTER, or mount /proc";
    Check::unmet("confinement", detail, remedy)
}

/// Returns the newest of the Landlock versions known here that the kernel has.
fn landlock_version() -> Option<u32> {
    let all = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let has = [
        all().handle_access(AccessFs::from_all(ABI::V1)).is_ok(),
        all().handle_access(AccessFs::Refer).is_ok(),
        all().handle_access(AccessFs::Truncate).is_ok(),
        all().handle_access(AccessNet::ConnectTcp).is_ok(),
        all().handle_access(AccessFs::IoctlDev).is_ok(),
        all().scope(Scope::Signal).is_ok(),
    ];
    // Each version includes the previous one.
    (1..).zip(has).take_while(|(_, has)| *has).map(|(version, _)| version).last()
}

#[cfg(test)]
mod tests {
    use super::is_btf;

    #[test]
    fn kernel_types_that_are_cut_are_not_taken_for_whole() {
        let mut header = 0xeb9f_u16.to_ne_bytes().to_vec();
        header.extend([1, 0]);
        for word in [24_u32, 0, 12, 12, 4] {
            header.extend(word.to_ne_bytes());
        }
        assert!(is_btf(&header, 24 + 12 + 4));
        assert!(!is_btf(&header, 24 + 12 + 3));
        for length in 0..header.len() {
            assert!(!is_btf(&header[..length], 40), "{length}");
        }
        header[0] = 0;
        assert!(!is_btf(&header, 40));
    }
}
