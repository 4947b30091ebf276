//! The kernel's functions and variables.

use serde::Serialize;

/// A symbol of the kernel (`dtrace_syminfo_t`, `GElf_Sym`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct KernelSymbol {
    /// The module: `vmlinux`, or a kernel module.
    pub module: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: u64,
    /// Its size in bytes; 0 if unknown.
    pub size: u64,
}
