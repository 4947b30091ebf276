//! The differences between the platforms' libraries: structures, and functions with different declarations.

use std::ffi::c_char;

use dtrace_sys::abi::{caddr_t, dtrace_recdesc_t, processorid_t};

#[cfg(dtrace_abi = "linux")]
mod linux;
#[cfg(dtrace_abi = "linux")]
use linux as own;
#[cfg(not(dtrace_abi = "linux"))]
mod sun;
#[cfg(not(dtrace_abi = "linux"))]
use sun as own;
#[cfg(not(dtrace_abi = "linux"))]
mod clears;
#[cfg(not(dtrace_abi = "linux"))]
mod statements;

#[cfg(not(dtrace_abi = "linux"))]
pub(super) use clears::Clears;
pub(super) use own::*;
pub(crate) use own::{PLATFORM, REPORTS_ENDS, defaults};
#[cfg(not(dtrace_abi = "linux"))]
pub(super) use statements::{Statements, action_of, format_data, is_one_printa, is_record};

/// An entry of an aggregation, validated as far as possible.
pub(super) struct Entry<'a> {
    pub(super) variable: u64,
    /// Tells entries of one variable apart whose keys are laid out differently: each clause may have its own. 0 on Linux,
    /// where all are the same.
    pub(super) layout: u32,
    /// A C string of the description, or null.
    pub(super) name: *const c_char,
    /// libdtrace's number of the aggregating function.
    pub(super) function: u16,
    pub(super) signature: u64,
    pub(super) normal: u64,
    pub(super) generation: u64,
    /// The layout of the keys in `key_bytes`. The first key is the variable's own number.
    pub(super) keys: &'a [dtrace_recdesc_t],
    pub(super) key_bytes: &'a [u8],
    pub(super) value: &'a [u8],
    /// The data for each CPU, or null.
    pub(super) per_cpu: *const caddr_t,
    /// Offset of the value in those data.
    pub(super) per_cpu_at: usize,
}

/// Names that the library owns: C strings or null.
pub(super) struct Names {
    pub(super) module: *const c_char,
    pub(super) name: *const c_char,
}

/// Returns a CPU's number as unsigned: only some platforms declare it as signed.
pub(super) fn cpu_number(cpu: processorid_t) -> u32 {
    u32::from_ne_bytes(cpu.to_ne_bytes())
}
