//! Which settings of the kernel spoil probes or names?

/// Returns the setting that keeps the kernel's function tracing from firing any probe, if one does.
pub(crate) fn silenced_functions() -> Option<&'static str> {
    let is_off = |file| std::fs::read_to_string(file).is_ok_and(|value| value.trim() == "0");
    is_off("/proc/sys/kernel/ftrace_enabled").then_some("kernel.ftrace_enabled")
}

/// Returns the setting that hides the kernel's addresses even from root, if it does. libdtrace takes the names of
/// functions from a list with these addresses.
pub(crate) fn hidden_addresses() -> Option<&'static str> {
    let value = std::fs::read_to_string("/proc/sys/kernel/kptr_restrict").ok()?;
    (value.trim() == "2").then_some("kernel.kptr_restrict")
}
