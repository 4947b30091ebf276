//! Probes and their names.

use std::fmt;

use serde::Serialize;

/// A probe's identifier and its four-part name, `provider:module:function:name`
/// (`dtrace_probedesc_t`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Probe {
    /// The number that this session's library gave the probe, as `dtrace -l` lists it.
    pub id: u32,
    /// The provider: `syscall`, `fbt`, `pid1234`…
    pub provider: String,
    /// The kernel module, library or program that contains the probe's function.
    pub module: String,
    /// The function that contains the probe, `probefunc` in D.
    pub function: String,
    /// The probe's own name, `probename` in D.
    pub name: String,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.provider, self.module, self.function, self.name)
    }
}
