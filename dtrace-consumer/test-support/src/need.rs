//! What may a test need that a machine does not have, and who says that it must be there?

use std::process::Command;
use std::sync::OnceLock;

use dtrace_consumer::preflight;

use crate::scratch_disk::ScratchDisk;

/// A test that lacks something is ignored; with this variable set to 1 it fails.
const REQUIRE_LIVE: &str = "DTRACE_CONSUMER_REQUIRE_LIVE";

/// `vm/lane` sets it where its kernel and its files must be found.
const STOCK_KERNEL: &str = "DTRACE_STOCK_KERNEL";

/// `vm/lane` sets it to the option with which it has booted the kernel for tests that need it.
const KERNEL_OPTION: &str = "DTRACE_KERNEL_OPTION";

/// Something that a test needs.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// This process can trace the running kernel.
    Tracing,
    /// The kernel has function tracing, which `fbt` and what builds upon it need.
    FunctionTracing,
    /// The kernel has probes in programs: those of functions, and those that a program registers.
    ProbesInPrograms,
    /// libdtrace learns of the faults of clauses.
    Faults,
    /// The kernel is that of a virtual machine, so its settings may change.
    StockKernel,
    /// The kernel was booted with an option.
    KernelOption(&'static str),
    /// This process is root's.
    Root,
    /// A program is installed.
    Command(&'static str),
    /// The dtrace(1) that belongs to libdtrace.
    Dtrace1,
    /// A disk that may be overwritten.
    ScratchDisk,
    /// The C program with probes of `tests/usdt`.
    UsdtProgram,
    /// What the function looks for.
    Check(fn() -> Result<(), Missing>),
}

/// Something is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// What, in a few words on one line.
    pub what: String,
    /// How that was found out and what to do, where the words do not say it already.
    pub details: String,
}

impl Missing {
    /// Something whose words say it all.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Missing {
        Missing { what: what.into(), details: String::new() }
    }

    /// What a preflight has found missing.
    ///
    /// # Errors
    /// If anything is.
    pub fn of(preflight: &dtrace_consumer::Preflight) -> Result<(), Missing> {
        if preflight.is_ready() {
            return Ok(());
        }
        let unmet = preflight.checks().iter().filter(|check| !check.met);
        let subjects: Vec<&str> = unmet.map(|check| check.subject).collect();
        let what = format!("tracing is not possible here; missing: {}", subjects.join(", "));
        Err(Missing { what, details: preflight.to_string() })
    }
}

impl Need {
    /// Looks for it.
    ///
    /// # Errors
    /// If it is missing.
    pub fn check(self) -> Result<(), Missing> {
        let found = |there: bool, what: &str| {
            if there { Ok(()) } else { Err(Missing::new(what)) }
        };
        match self {
            Need::Tracing => can_trace(),
            Need::FunctionTracing => found(
                has_function_tracing(),
                "the kernel has no function tracing (`vm/lane test` runs one that has)",
            ),
            Need::ProbesInPrograms => found(
                !is_freebsd_on_arm64(),
                "the kernel of FreeBSD has no probes in programs on arm64",
            ),
            Need::Faults => found(
                !is_freebsd_on_arm64(),
                "the kernel of FreeBSD 15.1 only counts the faults of most clauses on arm64",
            ),
            Need::StockKernel => found(
                stock_kernel().is_some(),
                "this is not a virtual machine for tests (`vm/lane test` runs one)",
            ),
            Need::KernelOption(option) => found(
                is_booted_with(option),
                &format!("the kernel was not booted with `{option}` (`vm/lane test` does it)"),
            ),
            Need::Root => found(nix::unistd::geteuid().is_root(), "root only"),
            Need::Command(name) => found(is_installed(name), &format!("{name} is not installed")),
            Need::Dtrace1 => {
                let runs = cfg!(not(target_os = "linux")) || is_installed("unshare");
                found(runs, "unshare is not installed")?;
                crate::dtrace1::find().map(drop).map_err(Missing::new)
            }
            Need::ScratchDisk => ScratchDisk::is_there(),
            Need::UsdtProgram => found(
                usdt_program().is_some(),
                "DTRACE_USDT_PROGRAM does not name a program (`vm/lane test` builds one)",
            ),
            Need::Check(look) => look(),
        }
    }

    /// The variable that requires it here.
    pub(crate) fn required_by(self) -> Option<&'static str> {
        let variable = match self {
            // Not every machine has one to overwrite, or can make one.
            Need::ScratchDisk => return None,
            // What lacks them is a system, which no machine can have otherwise.
            Need::ProbesInPrograms | Need::Faults => return None,
            Need::KernelOption(option) => {
                let is_this = std::env::var_os(KERNEL_OPTION).is_some_and(|set| set == option);
                return is_this.then_some(KERNEL_OPTION);
            }
            // Not every machine that must trace has them.
            Need::FunctionTracing | Need::UsdtProgram | Need::StockKernel => STOCK_KERNEL,
            _ => return is_live_required().then_some(REQUIRE_LIVE),
        };
        std::env::var_os(variable).is_some().then_some(variable)
    }
}

/// Whether a live test that cannot trace must fail.
fn is_live_required() -> bool {
    std::env::var_os(REQUIRE_LIVE).is_some_and(|value| value == "1")
}

/// Whether this process can trace the running kernel.
///
/// # Errors
/// If something is missing.
pub(crate) fn can_trace() -> Result<(), Missing> {
    static FOUND: OnceLock<Result<(), Missing>> = OnceLock::new();
    FOUND.get_or_init(|| Missing::of(&preflight(None))).clone()
}

/// libdtrace makes its `fbt` of the kernel's own list.
fn has_function_tracing() -> bool {
    let is_there = |path: &str| std::fs::metadata(path).is_ok();
    // A kernel without kprobes may list functions, and libdtrace has no probes for them.
    is_there("/sys/bus/event_source/devices/kprobe")
        && ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .into_iter()
            .any(|d| is_there(&format!("{d}/available_filter_functions")))
}

/// Its fasttrap(4) is for other architectures. And a fault outside of a function of the kernel leads to another one where
/// libdtrace is to be told of it: `dtrace_getarg()` has no sixth argument there.
const fn is_freebsd_on_arm64() -> bool {
    cfg!(all(target_os = "freebsd", target_arch = "aarch64"))
}

fn is_booted_with(option: &str) -> bool {
    let options = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    options.split_whitespace().any(|word| word == option)
}

fn is_installed(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", name]).output();
    found.is_ok_and(|found| found.status.success())
}

/// The C program with probes; `vm/lane` builds one.
#[must_use]
pub fn usdt_program() -> Option<String> {
    std::env::var("DTRACE_USDT_PROGRAM").ok()
}

/// The series of the stock kernel, as `vm/lane` names it.
#[must_use]
pub fn stock_kernel() -> Option<String> {
    std::env::var(STOCK_KERNEL).ok()
}
