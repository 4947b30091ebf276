//! Which capabilities does a worker keep?

use std::io;

use caps::{CapSet, Capability, CapsHashSet};

/// The capabilities that libdtrace needs, and what fails without them (2.0.7, Linux 6.18).
const NEEDED: [Capability; 9] = [
    // Namespaces, mounts, loading programs, reading kernel memory.
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    // Files of tracefs, and those of other users' processes for symbols, if the worker is not root.
    Capability::CAP_DAC_OVERRIDE,
    // Buffers beyond the limit of locked memory: "Memory allocation failure".
    Capability::CAP_IPC_LOCK,
    Capability::CAP_SYS_RESOURCE,
    // Grabbing processes: "No such process". Symbols of users' stacks.
    Capability::CAP_SYS_PTRACE,
    // Symbols of the kernel: without it, only addresses.
    Capability::CAP_SYSLOG,
    // Continuing a stopped command of another user.
    Capability::CAP_KILL,
];

/// Gives up privileges. Must be called before another thread starts, which would keep them.
pub(crate) fn give_up_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let kept: CapsHashSet = permitted.into_iter().filter(|it| NEEDED.contains(it)).collect();
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(io::Error::other)?;
    }
    Ok(())
}
