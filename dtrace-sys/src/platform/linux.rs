//! The ABI of libdtrace 2.0.7 on Linux (`libdtrace.so.2`).
//!
//! Sizes and offsets come from the library's debugging information and its installed headers. The feature
//! `bindgen` compares this file with them. The SONAME did not change when structures did (those of 2.0.2
//! differ), hence [`KNOWN_VERSIONS`].

pub use super::common::*;
use crate::version::Version;
use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

mod constants;
mod functions;
pub use constants::*;
pub use functions::*;

/// The versions that are known to have the structures of this module.
pub const KNOWN_VERSIONS: &[Version] = &[Version::new(2, 0, 7)];

/// The oldest version that may have them. It and unknown later ones are loaded only once they have been
/// verified; see [`Library::load_verified`](crate::Library::load_verified).
pub const OLDEST_VERSION: Version = Version::new(2, 0, 6);

/// The library to load by default.
pub const LIBRARY_FILE: &str = "libdtrace.so.2";

/// An option's value; `DTRACEOPT_UNSET` when it has none.
pub type dtrace_optval_t = u64;
/// A CPU's number.
pub type processorid_t = c_uint;
/// Nanoseconds.
pub type hrtime_t = u64;
/// An aggregation variable's number.
pub type dtrace_aggid_t = u32;
/// The identifier of an aggregation for `dtrace_aggregate_walk_joined`. The name is the same on all
/// platforms.
pub type dtrace_aggvarid_t = dtrace_aggid_t;
/// A statement's number. There are no enabled probe numbers (EPID) on Linux.
pub type dtrace_stid_t = u32;
/// The handle that the process functions use. The name is the same on all platforms.
pub type dtrace_proc_handle_t = dtrace_proc;

opaque! {
    /// A process that libdtrace created or grabbed. Passing NULL to a process function aborts.
    dtrace_proc;
    /// A D identifier of the compiler.
    dt_ident;
}

/// A symbol in an ELF file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GElf_Sym {
    /// Name: an index into the string table.
    pub st_name: u32,
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
}
layout!(GElf_Sym, size 24, align 8, {
    st_name @ 0, st_info @ 4, st_other @ 5, st_shndx @ 6, st_value @ 8, st_size @ 16,
});

/// A probe's four names.
///
/// As an input each must be a string: **a NULL member crashes the process**. Empty strings match everything;
/// there is no `Default`, because it would have NULL members. If `dtrace_str2desc` or `dtrace_xstr2desc`
/// filled it in, the caller must free the strings with `free`. If `dtrace_id2desc` filled it in or a callback
/// received it, the library owns them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_probedesc_t {
    /// Number.
    pub id: dtrace_id_t,
    /// Provider.
    pub prv: *const c_char,
    /// Module.
    pub r#mod: *const c_char,
    /// Function.
    pub fun: *const c_char,
    /// Name.
    pub prb: *const c_char,
}
layout!(dtrace_probedesc_t, size 40, align 8, { id @ 0, prv @ 8, r#mod @ 16, fun @ 24, prb @ 32 });

/// One record of a firing, an aggregation's key or its value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_recdesc_t {
    /// The action that made it.
    pub dtrd_action: dtrace_actkind_t,
    /// Bytes.
    pub dtrd_size: u32,
    /// Offset from the firing's data (or from the key or value), in bytes.
    pub dtrd_offset: u32,
    /// Alignment in bytes.
    pub dtrd_alignment: u16,
    /// The format, in the first record of a `printf` or `printa`; otherwise NULL.
    pub dtrd_format: *mut c_void,
    /// Depends on the action. For `trace()`: 0 unsigned, 1 signed, 4 by reference.
    pub dtrd_arg: u64,
}
layout!(dtrace_recdesc_t, size 32, align 8, {
    dtrd_action @ 0, dtrd_size @ 4, dtrd_offset @ 8, dtrd_alignment @ 12, dtrd_format @ 16,
    dtrd_arg @ 24,
});

/// The records of a clause.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_datadesc_t {
    /// 1 for the clause of the ERROR probe.
    pub dtdd_uarg: u64,
    /// Not filled in: always 0 in practice.
    pub dtdd_size: u32,
    /// Number of records.
    pub dtdd_nrecs: c_int,
    /// The records.
    pub dtdd_recs: *mut dtrace_recdesc_t,
    /// The library's reference count.
    pub dtdd_refcnt: c_int,
}
layout!(dtrace_datadesc_t, size 32, align 8, {
    dtdd_uarg @ 0, dtdd_size @ 8, dtdd_nrecs @ 12, dtdd_recs @ 16, dtdd_refcnt @ 24,
});

/// One firing of a clause. Valid only during the callback; the descriptions live until
/// `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_probedata_t {
    /// The session.
    pub dtpda_handle: *mut dtrace_hdl_t,
    /// The statement.
    pub dtpda_stid: dtrace_stid_t,
    /// Its records.
    pub dtpda_ddesc: *mut dtrace_datadesc_t,
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
}
layout!(dtrace_probedata_t, size 72, align 8, {
    dtpda_handle @ 0, dtpda_stid @ 8, dtpda_ddesc @ 16, dtpda_pdesc @ 24, dtpda_cpu @ 32,
    dtpda_data @ 40, dtpda_flow @ 48, dtpda_prefix @ 56, dtpda_indent @ 64,
});

/// A fault, as passed to the error handler. Valid only during the call.
///
/// Without an error handler, faults end `dtrace_work`, and some call address 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_errdata_t {
    /// **Never filled in**: do not read it.
    pub dteda_handle: *mut dtrace_hdl_t,
    /// The records of the clause; NULL for a fault of the library itself.
    pub dteda_ddesc: *mut dtrace_datadesc_t,
    /// The probe; NULL for a fault of the library itself.
    pub dteda_pdesc: *mut dtrace_probedesc_t,
    /// The CPU.
    pub dteda_cpu: processorid_t,
    /// The statement's number, or -1. (On the other platforms: the action's.)
    pub dteda_action: c_int,
    /// The BPF program counter, or -1.
    pub dteda_offset: c_int,
    /// `DTRACEFLT_`: what went wrong.
    pub dteda_fault: c_int,
    /// The address that caused the fault, if there is one.
    pub dteda_addr: u64,
    /// A message, without a newline.
    pub dteda_msg: *const c_char,
}
layout!(dtrace_errdata_t, size 56, align 8, {
    dteda_handle @ 0, dteda_ddesc @ 8, dteda_pdesc @ 16, dteda_cpu @ 24, dteda_action @ 28,
    dteda_offset @ 32, dteda_fault @ 36, dteda_addr @ 40, dteda_msg @ 48,
});

/// An aggregation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_aggdesc_t {
    /// Name without the `@`; `_` for an anonymous one.
    pub dtagd_name: *mut c_char,
    /// Number.
    pub dtagd_varid: dtrace_aggid_t,
    /// `DTRACE_AGD_` flags.
    pub dtagd_flags: c_int,
    /// Parameter word of `lquantize` and `llquantize`. (On the other platforms it starts the
    /// value.)
    pub dtagd_sig: u64,
    /// Divisor of `normalize()`; 1 for none. The value in memory is not divided.
    pub dtagd_normal: u64,
    /// Bytes of the key.
    pub dtagd_ksize: u32,
    /// Bytes of the value.
    pub dtagd_dsize: u32,
    /// Number of key records. The first is the aggregation's number, the keys follow.
    pub dtagd_nkrecs: c_uint,
    /// Index inside the library.
    pub dtagd_keyidx: c_uint,
    /// Key records, relative to `dtada_key`.
    pub dtagd_krecs: *mut dtrace_recdesc_t,
    /// Two data records, relative to `dtada_data`: the clear generation, then the value at 8.
    pub dtagd_drecs: *mut dtrace_recdesc_t,
}
layout!(dtrace_aggdesc_t, size 64, align 8, {
    dtagd_name @ 0, dtagd_varid @ 8, dtagd_flags @ 12, dtagd_sig @ 16, dtagd_normal @ 24,
    dtagd_ksize @ 32, dtagd_dsize @ 36, dtagd_nkrecs @ 40, dtagd_keyidx @ 44, dtagd_krecs @ 48,
    dtagd_drecs @ 56,
});

/// One entry of an aggregation. Valid until the next snapshot, clear, removal, print or close.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_aggdata_t {
    /// The session.
    pub dtada_hdl: *mut dtrace_hdl_t,
    /// The aggregation.
    pub dtada_desc: *mut dtrace_aggdesc_t,
    /// The key's bytes.
    pub dtada_key: caddr_t,
    /// The value's bytes; the first 8 are the clear generation.
    pub dtada_data: caddr_t,
    /// The value's bytes for each CPU; NULL without option `aggpercpu`.
    pub dtada_percpu: *mut caddr_t,
}
layout!(dtrace_aggdata_t, size 40, align 8, {
    dtada_hdl @ 0, dtada_desc @ 8, dtada_key @ 16, dtada_data @ 24, dtada_percpu @ 32,
});

/// The argument of a walk function that was passed to `dtrace_aggregate_print`, which must pass it on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_print_aggdata_t {
    /// The session.
    pub dtpa_dtp: *mut dtrace_hdl_t,
    /// The aggregation.
    pub dtpa_id: dtrace_aggid_t,
    /// Where to print.
    pub dtpa_fp: *mut FILE,
    /// Print only what has not been printed yet.
    pub dtpa_allunprint: c_int,
}
layout!(dtrace_print_aggdata_t, size 32, align 8, {
    dtpa_dtp @ 0, dtpa_id @ 8, dtpa_fp @ 16, dtpa_allunprint @ 24,
});

/// A range of addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct dtrace_addr_range_t {
    /// First address.
    pub dar_va: GElf_Addr,
    /// Bytes.
    pub dar_size: u64,
}
layout!(dtrace_addr_range_t, size 16, align 8, { dar_va @ 0, dar_size @ 8 });

/// A kernel module or another object. Strings live until `dtrace_update` or `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_objinfo_t {
    /// Name.
    pub dto_name: *const c_char,
    /// File, or NULL.
    pub dto_file: *const c_char,
    /// `DTRACE_OBJ_F_` flags.
    pub dto_flags: c_uint,
    /// Code, sorted.
    pub dto_text_addrs: *mut dtrace_addr_range_t,
    /// Number of code ranges.
    pub dto_text_addrs_size: usize,
    /// Data, sorted.
    pub dto_data_addrs: *mut dtrace_addr_range_t,
    /// Number of data ranges.
    pub dto_data_addrs_size: usize,
}
layout!(dtrace_objinfo_t, size 56, align 8, {
    dto_name @ 0, dto_file @ 8, dto_flags @ 16, dto_text_addrs @ 24, dto_text_addrs_size @ 32,
    dto_data_addrs @ 40, dto_data_addrs_size @ 48,
});

/// A symbol's names. Strings live until `dtrace_update` or `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_syminfo_t {
    /// The object.
    pub object: *const c_char,
    /// The symbol.
    pub name: *const c_char,
    /// Its number.
    pub id: c_ulong,
}
layout!(dtrace_syminfo_t, size 24, align 8, { object @ 0, name @ 8, id @ 16 });

/// A type. The string lives until `dtrace_update` or `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_typeinfo_t {
    /// The object.
    pub dtt_object: *const c_char,
    /// Its CTF container.
    pub dtt_ctfp: *mut ctf_file_t,
    /// The type inside it.
    pub dtt_type: ctf_id_t,
}
layout!(dtrace_typeinfo_t, size 24, align 8, { dtt_object @ 0, dtt_ctfp @ 8, dtt_type @ 16 });

/// A clause with the probe description that it was written for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_ecbdesc_t {
    /// The description.
    pub dted_probe: dtrace_probedesc_t,
    /// The library's reference count.
    pub dted_refcnt: c_int,
}
layout!(dtrace_ecbdesc_t, size 48, align 8, { dted_probe @ 0, dted_refcnt @ 40 });

/// A statement of a program. Only the probe description behind `dtsd_ecbdesc` is useful.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_stmtdesc_t {
    /// The clause.
    pub dtsd_ecbdesc: *mut dtrace_ecbdesc_t,
    /// The compiler's identifier of the clause.
    pub dtsd_clause: *mut dt_ident,
    /// Unused.
    pub dtsd_fmtdata: *mut c_void,
    /// Stability of the probe description.
    pub dtsd_descattr: dtrace_attribute_t,
    /// Stability of the statement.
    pub dtsd_stmtattr: dtrace_attribute_t,
    /// `DT_CLSFLAG_` flags.
    pub dtsd_clauseflags: c_int,
    /// The statement's number.
    pub dtsd_id: c_int,
}
layout!(dtrace_stmtdesc_t, size 40, align 8, {
    dtsd_ecbdesc @ 0, dtsd_clause @ 8, dtsd_fmtdata @ 16, dtsd_descattr @ 24, dtsd_stmtattr @ 27,
    dtsd_clauseflags @ 32, dtsd_id @ 36,
});

/// Functions to use in place of the kernel's, for `dtrace_vopen`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_vector_t {
    /// Instead of `ioctl`.
    pub dtv_ioctl: Option<unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int>,
    /// Instead of the kernel's symbol table.
    pub dtv_lookup_by_addr: Option<
        unsafe extern "C" fn(*mut c_void, GElf_Addr, *mut GElf_Sym, *mut dtrace_syminfo_t) -> c_int,
    >,
    /// Instead of checking whether a CPU exists.
    pub dtv_cpu_status: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    /// Instead of `sysconf`.
    pub dtv_sysconf: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_long>,
}
layout!(dtrace_vector_t, size 32, align 8, {
    dtv_ioctl @ 0, dtv_lookup_by_addr @ 8, dtv_cpu_status @ 16, dtv_sysconf @ 24,
});

declarations_over_platform_types!();
