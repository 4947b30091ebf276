//! The ABI of libdtrace on FreeBSD since 2024 (`libdtrace.so.2`). Derived from its sources; used on 12.1
//! and 15.1.
//!
//! In releases before that `dtrace_probedata_t` has no time at its end: see
//! [`dtrace_probedata_t::dtpda_timestamp`]. FreeBSD's commit 93f27766a7e1 (10 January 2024) added it. Nothing else that this
//! crate declares differs between 12.1 and the sources that followed FreeBSD's main branch after that commit.

pub use super::common::*;
pub use super::sun::*;
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

/// The library to load by default.
pub const LIBRARY_FILE: &str = "libdtrace.so.2";

/// Bytes of a function's name with its NUL: longer than elsewhere.
pub const DTRACE_FUNCNAMELEN: usize = 192;
/// Bytes of a whole probe name with its colons and NUL.
pub const DTRACE_FULLNAMELEN: usize = 388;

/// Compile: expand syntactic sugar (the library's own).
pub const DTRACE_C_SUGAR: c_uint = 0x0400;
/// Compile: all valid flags, one more than elsewhere.
pub const DTRACE_C_MASK: c_uint = 0x3fff;

/// `printm()`.
pub const DTRACEACT_PRINTM: dtrace_actkind_t = 8;
/// `printt()`, in old releases.
pub const DTRACEACT_PRINTT: dtrace_actkind_t = 9;

options! {
    27 DTRACEOPT_TEMPORAL "temporal";
    28 DTRACEOPT_AGGHIST "agghist";
    29 DTRACEOPT_AGGPACK "aggpack";
    30 DTRACEOPT_AGGZOOM "aggzoom";
    31 DTRACEOPT_ZONE "zone";
}

/// A symbol in an ELF file.
pub type GElf_Sym = Elf64_Sym;
/// A probe's four names.
pub type dtrace_probedesc_t = dtrace_probedesc<DTRACE_FUNCNAMELEN>;
layout!(dtrace_probedesc_t, size 388, align 4, {
    dtpd_id @ 0, dtpd_provider @ 4, dtpd_mod @ 68, dtpd_func @ 132, dtpd_name @ 324,
});

/// One firing of a clause. Valid only during the callback.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_probedata_t {
    /// The session.
    pub dtpda_handle: *mut dtrace_hdl_t,
    /// Its records.
    pub dtpda_edesc: *mut dtrace_eprobedesc_t,
    /// The probe.
    pub dtpda_pdesc: *mut dtrace_probedesc_t,
    /// The CPU.
    pub dtpda_cpu: processorid_t,
    /// The data: in a probe callback their start, in a record callback **that start plus the record's
    /// offset**, in the call with a NULL record stale.
    pub dtpda_data: caddr_t,
    /// Flow; only with option `flowindent`.
    pub dtpda_flow: dtrace_flowkind_t,
    /// Prefix to show the flow; only with option `flowindent`.
    pub dtpda_prefix: *const c_char,
    /// Indentation to show the flow; only with option `flowindent`.
    pub dtpda_indent: c_int,
    /// When it fired. **Does not exist before 2024**: first check whether the library has `dtrace_oformat`,
    /// and never create a reference to the whole structure before that.
    pub dtpda_timestamp: u64,
}
layout!(dtrace_probedata_t, size 72, align 8, {
    dtpda_handle @ 0, dtpda_edesc @ 8, dtpda_pdesc @ 16, dtpda_cpu @ 24, dtpda_data @ 32,
    dtpda_flow @ 40, dtpda_prefix @ 48, dtpda_indent @ 56, dtpda_timestamp @ 64,
});

// What releases before 2024 have too is in the same places.
const _: () = {
    type Before = dtrace_probedata<dtrace_probedesc_t>;
    assert!(core::mem::offset_of!(dtrace_probedata_t, dtpda_timestamp) == size_of::<Before>());
    assert!(
        core::mem::offset_of!(dtrace_probedata_t, dtpda_indent)
            == core::mem::offset_of!(Before, dtpda_indent)
    );
};

/// Type of `dtrace_lookup_by_addr`.
pub type dtrace_lookup_by_addr_fn = dtrace_lookup_by_addr_simple_fn;
/// Called in the child between fork and exec.
pub type proc_child_func = unsafe extern "C" fn(arg: *mut c_void);
/// Type of `dtrace_proc_create`: with a function to call in the child. NULL on failure.
pub type dtrace_proc_create_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    file: *const c_char,
    argv: *const *mut c_char,
    child: Option<proc_child_func>,
    arg: *mut c_void,
) -> *mut ps_prochandle;

sun_names!(request: c_ulong);
declarations_over_platform_types!();
