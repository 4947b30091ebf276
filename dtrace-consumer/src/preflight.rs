//! Can this process trace here, and if not, what is missing and how is it to be had?

use std::fmt;
use std::fs;
use std::path::Path;

use crate::elevation::{self, Elevation};
use crate::locate::{self, Libdtrace};

/// One thing that tracing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is, in a word or two.
    pub subject: &'static str,
    /// Whether it is there.
    pub met: bool,
    /// What was found.
    pub detail: String,
    /// What to do, where it is missing.
    pub remedy: Option<String>,
}

impl Check {
    fn met(subject: &'static str, detail: impl Into<String>) -> Check {
        Check { subject, met: true, detail: detail.into(), remedy: None }
    }

    fn unmet(subject: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { subject, met: false, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.met { "ok     " } else { "missing" };
        write!(f, "{mark}  {}: {}", self.subject, self.detail)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n         {}", remedy.trim_end().replace('\n', "\n         "))?;
        }
        Ok(())
    }
}

/// What was found of everything that tracing needs.
///
/// ```
/// let preflight = dtrace_consumer::preflight(None);
/// if !preflight.is_ready() {
///     eprintln!("{preflight}");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Preflight {
    checks: Vec<Check>,
    library: Option<Libdtrace>,
}

impl Preflight {
    /// All checks, in the order in which tracing meets them.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|c| c.met)
    }

    /// The libdtrace that would be used.
    #[must_use]
    pub fn library(&self) -> Option<&Libdtrace> {
        self.library.as_ref()
    }

    /// The library, if nothing is missing.
    ///
    /// # Errors
    /// [`Unavailable`] with what is missing.
    pub fn require(mut self) -> Result<Libdtrace, Unavailable> {
        let library = self.library.take();
        self.missing()?;
        library.ok_or_else(|| Unavailable { missing: Vec::new() })
    }

    /// Fails with what is missing, if anything is.
    pub(crate) fn missing(self) -> Result<(), Unavailable> {
        let missing: Vec<Check> = self.checks.into_iter().filter(|c| !c.met).collect();
        if missing.is_empty() { Ok(()) } else { Err(Unavailable { missing }) }
    }
}

/// One check a line, with a remedy below what is missing.
impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(f, &self.checks)
    }
}

fn lines(f: &mut fmt::Formatter<'_>, checks: &[Check]) -> fmt::Result {
    let mut separator = "";
    for check in checks {
        write!(f, "{separator}{check}")?;
        separator = "\n";
    }
    Ok(())
}

/// Tracing is not possible here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    missing: Vec<Check>,
}

impl Unavailable {
    /// What is missing.
    #[must_use]
    pub fn missing(&self) -> &[Check] {
        &self.missing
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tracing is not possible here:")?;
        lines(f, &self.missing)
    }
}

impl std::error::Error for Unavailable {}

/// Looks for everything that tracing needs. `prefix` is where to look for libdtrace first; see
/// [`locate`](crate::locate::locate) for where else.
#[must_use]
pub fn preflight(prefix: Option<&Path>) -> Preflight {
    let mut checks = Vec::from_iter(system());
    if !checks.is_empty() {
        return Preflight { checks, library: None };
    }
    let library = match locate::locate(prefix) {
        Ok(library) => {
            let version = library.version.as_deref().unwrap_or("of unknown version");
            checks
                .push(Check::met("libdtrace", format!("{version}, {}", library.library.display())));
            Some(library)
        }
        Err(error) => {
            checks.push(Check::unmet(
                "libdtrace",
                "none that can be used was found",
                error.to_string(),
            ));
            None
        }
    };
    checks.push(privilege());
    checks.extend(kernel());
    Preflight { checks, library }
}

/// As [`preflight`], for sessions whose worker is [elevated](crate::Builder::elevation): they need no
/// privilege and no libdtrace here, but the program that gives the privilege and an installed worker,
/// which `worker` may name. Whether the program permits it is seen when a session begins.
#[must_use]
pub fn preflight_elevated(elevation: &Elevation, worker: Option<&Path>) -> Preflight {
    let Some(words) = elevation.words() else { return preflight(None) };
    let mut checks = Vec::from_iter(system());
    if !checks.is_empty() {
        return Preflight { checks, library: None };
    }
    let by = words[0].to_string_lossy();
    checks.push(if elevation::is_installed(&words[0]) {
        Check::met("elevation", by)
    } else {
        let detail = format!("{by} is not installed");
        Check::unmet("elevation", detail, "Install it, or choose another elevation.")
    });
    checks.push(match elevation::installed_worker(worker) {
        Some(worker) => Check::met("worker", worker.display().to_string()),
        None => Check::unmet("worker", "no dtrace-worker is installed", elevation::no_worker()),
    });
    checks.extend(kernel());
    Preflight { checks, library: None }
}

/// Why live tracing is not possible on this system at all.
fn system() -> Option<Check> {
    let detail = format!("live tracing on {} is not implemented yet", std::env::consts::OS);
    let remedy = "Trace on Linux; recordings can be replayed here.";
    (!cfg!(target_os = "linux")).then(|| Check::unmet("system", detail, remedy))
}

/// What the kernel must have.
fn kernel() -> [Check; 4] {
    [btf(), lockdown(), debugfs(), proc_files()]
}

/// Numbers of capabilities, of `capability.h`: to administrate the system, which loading programs that
/// read kernel memory needs, and to open files whatever their permissions, as debugfs is root's.
const CAPABILITIES: [u32; 2] = [21, 1];

fn privilege() -> Check {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    match effective {
        Some(mask) if CAPABILITIES.iter().all(|n| mask >> n & 1 == 1) => {
            Check::met("privilege", "this process may load tracing programs into the kernel")
        }
        _ => Check::unmet(
            "privilege",
            "this process may not load tracing programs into the kernel",
            "Let its worker have it by sudo or doas (elevation), run it as root, or with the ambient \
             capabilities CAP_SYS_ADMIN and CAP_DAC_OVERRIDE.",
        ),
    }
}

fn btf() -> Check {
    const FILE: &str = "/sys/kernel/btf/vmlinux";
    if Path::new(FILE).exists() {
        Check::met("kernel types", FILE)
    } else {
        Check::unmet(
            "kernel types",
            format!("the kernel has no {FILE}"),
            "Boot a kernel built with CONFIG_DEBUG_INFO_BTF, as those of distributions are.",
        )
    }
}

fn lockdown() -> Check {
    let state = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if state.contains("[confidentiality]") {
        Check::unmet(
            "lockdown",
            "the kernel is locked down for confidentiality, which forbids reading its memory",
            "Boot with lockdown=integrity or none.",
        )
    } else {
        Check::met("lockdown", "reading kernel memory is not forbidden")
    }
}

fn debugfs() -> Check {
    if Path::new("/sys/kernel/debug/tracing/uprobe_events").exists() {
        return Check::met("debugfs", "mounted");
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if filesystems.split_whitespace().any(|word| word == "debugfs") {
        Check::met(
            "debugfs",
            "not mounted, or not readable by this user; the worker mounts it for itself",
        )
    } else {
        Check::unmet(
            "debugfs",
            "the kernel has no debugfs",
            "Boot a kernel built with CONFIG_DEBUG_FS and CONFIG_UPROBE_EVENTS.",
        )
    }
}

fn proc_files() -> Check {
    const FILE: &str = "/proc/sys/kernel/perf_event_max_stack";
    // libdtrace aborts without it.
    if Path::new(FILE).exists() {
        Check::met("proc", "mounted")
    } else {
        Check::unmet(
            "proc",
            format!("{FILE} is missing"),
            "Mount /proc, and boot a kernel built with CONFIG_PERF_EVENTS.",
        )
    }
}
