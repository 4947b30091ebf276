//! FreeBSD, macOS and illumos: libdtrace and the kernel's DTrace are made for each other, so that hardly anything has to come
//! between.

#[cfg(target_os = "freebsd")]
#[expect(unsafe_code, reason = "libproc calls it in place of functions of the C library")]
mod attached;
#[cfg(target_os = "freebsd")]
#[cfg_attr(not(target_arch = "x86_64"), path = "kept_breakpoints.rs")]
#[expect(unsafe_code, reason = "requests of ptrace(2), and those that libproc makes")]
mod breakpoints;
#[cfg(any(target_os = "freebsd", target_os = "linux"))]
#[expect(unsafe_code, reason = "libproc calls it in place of a function of the C library")]
mod control;
#[cfg(any(target_os = "freebsd", target_os = "linux"))]
#[expect(unsafe_code, reason = "it looks for a loaded library, one of whose calls is replaced")]
mod libproc;

use std::io;

use parking_lot::Mutex;

use super::{Activity, Controllable};
use crate::data::pattern::ProbePattern;
use crate::worker::encode::ledger::CpuDrops;
use crate::worker::libdtrace::KernelMaps;
use crate::worker::system::is_traced;

/// The processes that libdtrace has attached to.
static ATTACHED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Limits which processes libdtrace controls.
///
/// # Errors
/// It cannot be limited here.
pub(in crate::worker) fn limit_control(
    inside: usize,
    controllable: Controllable,
) -> io::Result<()> {
    #[cfg(any(target_os = "freebsd", target_os = "linux"))]
    return control::limit(inside, controllable);
    #[cfg(not(any(target_os = "freebsd", target_os = "linux")))]
    {
        let _ = (inside, controllable);
        Err(io::Error::other("this system has no means for it"))
    }
}

/// Corrects what libdtrace does to processes that it is attached to.
///
/// # Errors
/// There is something to correct here, and libdtrace does not call what is expected.
pub(in crate::worker) fn correct_control(inside: usize) -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    return attached::correct(inside);
    #[cfg(not(target_os = "freebsd"))]
    {
        let _ = inside;
        Ok(())
    }
}

/// Returns no access to the kernel's aggregations: libdtrace's snapshots are as fast.
pub(in crate::worker) fn aggregation_maps() -> Option<&'static dyn KernelMaps> {
    None
}

/// Notes that libdtrace has attached to a process.
pub(in crate::worker) fn attached_to(pid: i32) {
    ATTACHED.lock().push(pid);
}

/// Returns whether libdtrace is attached to a process. If this process ended now, the kernel might kill that one.
pub(in crate::worker) fn is_attached() -> bool {
    ATTACHED.lock().iter().copied().any(is_traced)
}

/// Does nothing: closing libdtrace closes only its own descriptors.
pub(in crate::worker) fn keep_descriptors() {}

/// Returns whether libdtrace has let go of a process that still runs. It reports no ends of such processes.
pub(in crate::worker) fn was_let_go(_: i32) -> bool {
    false
}

/// Returns `None`: libdtrace reads the buffers at rates of its own.
pub(in crate::worker) fn activity() -> Option<Activity> {
    None
}

/// Does nothing: records always wait until libdtrace reads the buffers, and it does so after a pause of its own.
pub(in crate::worker) fn let_wait(_: bool) -> bool {
    true
}

/// Returns `false`: when tracing is off, libdtrace reads all buffers at once.
pub(in crate::worker) fn have_data() -> bool {
    false
}

/// Returns no counters of drops: libdtrace reads all of them when tracing stops.
///
/// # Errors
/// None.
pub(in crate::worker) fn dropped_by_kernel() -> io::Result<Vec<CpuDrops>> {
    Ok(Vec::new())
}

/// Returns nothing: each provider's probes are the kernel's own.
pub(in crate::worker) fn built_upon(_: &str, _: &str) -> &'static [&'static str] {
    &[]
}

/// Returns `false`: no probe is built upon another.
pub(in crate::worker) fn may_be_built(_: &str, _: &str) -> bool {
    false
}

/// Returns `false`: no probe is built upon another.
pub(in crate::worker) fn may_be_built_on_functions(_: &ProbePattern) -> bool {
    false
}

/// Returns `None`: there is no setting that keeps functions of the kernel from firing probes.
pub(in crate::worker) fn silenced_functions() -> Option<&'static str> {
    None
}

/// Returns `None`: there is no setting that hides the names of the kernel's functions from who may trace.
pub(in crate::worker) fn hidden_addresses() -> Option<&'static str> {
    None
}
