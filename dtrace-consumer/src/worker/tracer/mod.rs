//! Who is the tracer, seen from a script?
//!
//! The consumer, as in dtrace(1), as far as that is possible. There is one module for each lineage of libdtrace,
//! with the same items.

#[cfg(dtrace_abi = "linux")]
mod linux;
#[cfg(not(dtrace_abi = "linux"))]
mod sun;

use std::fmt::Display;

#[cfg(dtrace_abi = "linux")]
pub(super) use linux::Tracer;
#[cfg(not(dtrace_abi = "linux"))]
pub(super) use sun::Tracer;

use crate::data::warning::{Warning, WarningKind};

/// The macro variables that are numbers of the tracer.
const MACROS: [&str; 8] = ["pid", "ppid", "pgid", "sid", "uid", "euid", "gid", "egid"];

/// Returns the warning that a macro variable does not describe the consumer.
fn apart(name: &str, what: &str, error: &impl Display) -> Warning {
    let message = format!("{what}: {error} (exclude this program and its worker by `execname`)");
    Warning::new(WarningKind::Apart, format!("${name}"), message)
}
