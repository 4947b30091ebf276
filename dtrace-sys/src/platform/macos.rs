//! The ABI of libdtrace on macOS (`/usr/lib/libdtrace.dylib`). Derived from its sources, not tested.

pub use super::common::*;
pub use super::sun::*;
use core::ffi::{c_char, c_int, c_uint, c_void};

/// The library to load by default. It is in the system's cache of libraries: there is no file.
pub const LIBRARY_FILE: &str = "/usr/lib/libdtrace.dylib";

/// Bytes of a function's name with its NUL.
pub const DTRACE_FUNCNAMELEN: usize = 128;
/// Bytes of a whole probe name with its colons and NUL.
pub const DTRACE_FULLNAMELEN: usize = 324;

/// `apple_binary`: the records after it are not delivered.
pub const DTRACEACT_APPLEBINARY: dtrace_actkind_t = 50;
/// `pidresume()`.
pub const DTRACEACT_PIDRESUME: dtrace_actkind_t = 0x232;

options! {
    27 DTRACEOPT_AGGHIST "agghist";
    28 DTRACEOPT_AGGPACK "aggpack";
    29 DTRACEOPT_AGGZOOM "aggzoom";
    30 DTRACEOPT_TEMPORAL "temporal";
    31 DTRACEOPT_STACKSYMBOLS "stacksymbols";
    32 DTRACEOPT_BUFLIMIT "buflimit";
}
/// Number of options.
pub const DTRACEOPT_MAX: u32 = 33;

/// A symbol in libdtrace's own format, which is wider than that of ELF.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GElf_Sym {
    /// Name: an index into the string table.
    pub st_name: i64,
    /// Type and binding.
    pub st_info: u8,
    /// Visibility.
    pub st_other: u8,
    /// Section.
    pub st_shndx: u16,
    /// Address.
    pub st_value: u64,
    /// Bytes.
    pub st_size: u64,
    /// The variant of the processor.
    #[cfg(target_arch = "aarch64")]
    pub st_arch_subinfo: u32,
}
#[cfg(not(target_arch = "aarch64"))]
layout!(GElf_Sym, size 32, align 8, {
    st_name @ 0, st_info @ 8, st_other @ 9, st_shndx @ 10, st_value @ 16, st_size @ 24,
});
#[cfg(target_arch = "aarch64")]
layout!(GElf_Sym, size 40, align 8, {
    st_name @ 0, st_info @ 8, st_other @ 9, st_shndx @ 10, st_value @ 16, st_size @ 24,
    st_arch_subinfo @ 32,
});

/// A probe's four names.
pub type dtrace_probedesc_t = dtrace_probedesc<DTRACE_FUNCNAMELEN>;
layout!(dtrace_probedesc_t, size 324, align 4, {
    dtpd_id @ 0, dtpd_provider @ 4, dtpd_mod @ 68, dtpd_func @ 132, dtpd_name @ 260,
});
/// One firing of a clause.
pub type dtrace_probedata_t = dtrace_probedata<dtrace_probedesc_t>;

/// Type of `dtrace_lookup_by_addr`: with a buffer for names that the library has to make up.
pub type dtrace_lookup_by_addr_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    addr: GElf_Addr,
    aux_symbol_name: *mut c_char,
    aux_symbol_name_len: usize,
    symp: *mut GElf_Sym,
    sip: *mut dtrace_syminfo_t,
) -> c_int;
/// Type of `dtrace_proc_create`.
pub type dtrace_proc_create_fn = dtrace_proc_create_simple_fn;

sun_names!(request: c_int);
declarations_over_platform_types!();
