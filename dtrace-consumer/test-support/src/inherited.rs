//! What has a program inherited?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::prctl;
use nix::unistd::{Pid, getpgrp, getsid};

/// What a program has inherited, by name.
pub type Inherited = BTreeMap<String, String>;

/// `IOPRIO_WHO_PROCESS`: a number is that of a thread, and 0 is the caller.
const OF_THREAD: libc::c_int = 1;

/// Reads what [`write`] has written.
///
/// # Errors
/// If there is no such file.
pub fn read(file: &Path) -> std::io::Result<Inherited> {
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    let rows = text.lines().filter_map(|line| line.split_once('='));
    Ok(rows.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Writes what this process has inherited, a line each. No other thread and no runtime must have changed it.
pub(crate) fn write(file: &str) {
    let mut rows = Inherited::new();
    from_status(&mut rows);
    from_limits(&mut rows);
    from_stat(&mut rows);
    for name in fs::read_dir("/proc/self/ns").into_iter().flatten().flatten() {
        let name = name.file_name().to_string_lossy().into_owned();
        rows.insert(format!("namespace {name}"), link(&format!("ns/{name}")));
    }
    for number in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let number = number.file_name().to_string_lossy().into_owned();
        let file = link(&format!("fd/{number}"));
        // The descriptor that lists them has no link any more, or one to this directory.
        if !file.ends_with("/fd") {
            rows.insert(format!("descriptor {number}"), file);
        }
    }
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        rows.insert(format!("variable {name}"), value.into_owned());
    }
    for name in ["oom_score_adj", "cgroup", "personality", "coredump_filter", "loginuid"] {
        let text = fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        rows.insert(name.to_owned(), text.trim().replace('\n', ","));
    }
    rows.insert("working directory".to_owned(), link("cwd"));
    rows.insert("root directory".to_owned(), link("root"));
    rows.insert("process group".to_owned(), getpgrp().to_string());
    rows.insert("session".to_owned(), getsid(None).map_or(0, Pid::as_raw).to_string());
    for number in 0..3 {
        // SAFETY: the call changes nothing, and the number need not be that of an open descriptor.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
        rows.insert(format!("flags of descriptor {number}"), format!("{flags:#o}"));
    }
    // SAFETY: both calls only return a number.
    let (priority, securebits) = unsafe {
        (libc::syscall(libc::SYS_ioprio_get, OF_THREAD, 0), libc::prctl(libc::PR_GET_SECUREBITS))
    };
    rows.insert("I/O priority".to_owned(), priority.to_string());
    rows.insert("securebits".to_owned(), securebits.to_string());
    rows.insert("dumpable".to_owned(), format!("{:?}", prctl::get_dumpable()));
    rows.insert("keeps capabilities".to_owned(), format!("{:?}", prctl::get_keepcaps()));
    rows.insert("timer slack".to_owned(), format!("{:?}", prctl::get_timerslack()));
    rows.insert("parent-death signal".to_owned(), format!("{:?}", prctl::get_pdeathsig()));
    let lines: Vec<String> = rows.into_iter().map(|(name, value)| name + "=" + &value).collect();
    let _ = fs::write(file, lines.join("\n"));
}

fn link(name: &str) -> String {
    let target = fs::read_link(format!("/proc/self/{name}"));
    target.map(|it| it.display().to_string()).unwrap_or_default()
}

fn from_status(rows: &mut Inherited) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Those of signals and capabilities are sets of bits.
    let prefixes = ["Sig", "Cap"];
    let names = [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "TracerPid",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Cpus_allowed",
        "Mems_allowed",
        "Speculation_Store_Bypass",
    ];
    let is_wanted = |name: &str| {
        let is_set = prefixes.iter().any(|prefix| name.starts_with(prefix)) && name != "SigQ";
        is_set || names.contains(&name)
    };
    for line in status.lines() {
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_wanted(name)) else {
            continue;
        };
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        rows.insert(name.to_owned(), value);
    }
    if let Some(ignored) = rows.get_mut("SigIgn") {
        // The C library hides two signals from programs. Its posix_spawn(3) ignores them in the child, and once a
        // process has threads, other children have the default of one.
        const HIDDEN: u64 = 0b11 << 31;
        let set = u64::from_str_radix(ignored, 16).unwrap_or_default();
        *ignored = format!("{:016x}", set & !HIDDEN);
    }
    if let Some(tracer) = rows.remove("TracerPid") {
        rows.insert("is traced".to_owned(), (tracer != "0").to_string());
    }
}

fn from_limits(rows: &mut Inherited) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for line in limits.lines().skip(1) {
        let (name, values) = line.split_at(line.len().min(26));
        let values = values.split_whitespace().collect::<Vec<_>>().join(" ");
        rows.insert(format!("limit {}", name.trim()), values);
    }
}

fn from_stat(rows: &mut Inherited) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>());
    // Field 3 of proc_pid_stat(5) is the first after the name.
    let field = |n: usize| fields.as_ref().and_then(|all| all.get(n - 3)).unwrap_or(&"");
    for (name, n) in [
        ("controlling terminal", 7),
        ("foreground process group", 8),
        ("nice level", 19),
        ("real-time priority", 40),
        ("scheduling policy", 41),
    ] {
        rows.insert(name.to_owned(), (*field(n)).to_owned());
    }
}
