//! The ABI of libdtrace on illumos (`libdtrace.so.1`, a private interface). Derived from its sources, not
//! tested.

pub use super::common::*;
pub use super::sun::*;
use core::ffi::{c_char, c_int, c_uint, c_void};

/// The library to load by default.
pub const LIBRARY_FILE: &str = "libdtrace.so.1";

/// Bytes of a function's name with its NUL.
pub const DTRACE_FUNCNAMELEN: usize = 128;
/// Bytes of a whole probe name with its colons and NUL.
pub const DTRACE_FULLNAMELEN: usize = 324;

options! {
    27 DTRACEOPT_TEMPORAL "temporal";
    28 DTRACEOPT_AGGHIST "agghist";
    29 DTRACEOPT_AGGPACK "aggpack";
    30 DTRACEOPT_AGGZOOM "aggzoom";
    31 DTRACEOPT_ZONE "zone";
}
/// Number of options.
pub const DTRACEOPT_MAX: u32 = 32;

/// A symbol in an ELF file.
pub type GElf_Sym = Elf64_Sym;
/// A probe's four names.
pub type dtrace_probedesc_t = dtrace_probedesc<DTRACE_FUNCNAMELEN>;
layout!(dtrace_probedesc_t, size 324, align 4, {
    dtpd_id @ 0, dtpd_provider @ 4, dtpd_mod @ 68, dtpd_func @ 132, dtpd_name @ 260,
});
/// One firing of a clause.
pub type dtrace_probedata_t = dtrace_probedata<dtrace_probedesc_t>;

/// Type of `dtrace_lookup_by_addr`.
pub type dtrace_lookup_by_addr_fn = dtrace_lookup_by_addr_simple_fn;
/// Type of `dtrace_proc_create`.
pub type dtrace_proc_create_fn = dtrace_proc_create_simple_fn;

sun_names!(request: c_int);
declarations_over_platform_types!();
