//! The ABI that illumos, FreeBSD and macOS share, which comes from Solaris.
//!
//! Offsets were computed from the sources' declarations for LP64. They were used on FreeBSD 12.1 and 15.1, and on no other system. As in
//! [`super::common`], a macro repeats the declarations that have the same text over types that differ among
//! the three.

use super::common::*;
use crate::version::Version;
use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

mod constants;
mod programs;
pub use constants::*;
pub use programs::*;

/// No version is required: the library's version does not identify its structures.
pub const KNOWN_VERSIONS: &[Version] = &[];

/// No version is too old, for the same reason.
pub const OLDEST_VERSION: Version = Version::new(0, 0, 0);

/// An option's value; `DTRACEOPT_UNSET` when it has none.
pub type dtrace_optval_t = i64;
/// A CPU's number.
pub type processorid_t = c_int;
/// Nanoseconds.
pub type hrtime_t = i64;
/// An aggregation variable's number.
pub type dtrace_aggvarid_t = i64;
/// An aggregation's number inside the kernel.
pub type dtrace_aggid_t = u32;
/// An enabled probe's number.
pub type dtrace_epid_t = u32;
/// The handle that the process functions use. The name is the same on all platforms.
pub type dtrace_proc_handle_t = ps_prochandle;

opaque! {
    /// A process that libproc controls.
    ps_prochandle;
}

/// One record of a firing or an aggregation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_recdesc_t {
    /// The action that made it.
    pub dtrd_action: dtrace_actkind_t,
    /// Bytes.
    pub dtrd_size: u32,
    /// Offset from the data of the firing or aggregation, in bytes.
    pub dtrd_offset: u32,
    /// Alignment in bytes.
    pub dtrd_alignment: u16,
    /// The format's number, or 0.
    pub dtrd_format: u16,
    /// Depends on the action.
    pub dtrd_arg: u64,
    /// The address of the statement whose action made it.
    pub dtrd_uarg: u64,
}
layout!(dtrace_recdesc_t, size 32, align 8, {
    dtrd_action @ 0, dtrd_size @ 4, dtrd_offset @ 8, dtrd_alignment @ 12, dtrd_format @ 14,
    dtrd_arg @ 16, dtrd_uarg @ 24,
});

/// The records of an enabled probe. There are `dtepd_nrecs` of them, not one: access them through the pointer
/// to the whole structure, not through a reference to the array.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_eprobedesc_t {
    /// Number.
    pub dtepd_epid: dtrace_epid_t,
    /// The probe.
    pub dtepd_probeid: dtrace_id_t,
    /// Internal to the library.
    pub dtepd_uarg: u64,
    /// Bytes of the data.
    pub dtepd_size: u32,
    /// Number of records.
    pub dtepd_nrecs: c_int,
    /// The records.
    pub dtepd_rec: [dtrace_recdesc_t; 1],
}
layout!(dtrace_eprobedesc_t, size 56, align 8, {
    dtepd_epid @ 0, dtepd_probeid @ 4, dtepd_uarg @ 8, dtepd_size @ 16, dtepd_nrecs @ 20,
    dtepd_rec @ 24,
});

/// An aggregation. There are `dtagd_nrecs` records, not one: the variable's number, the keys, the value.
/// Access them through the pointer to the whole structure.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_aggdesc_t {
    /// Name without the `@`; `_` for an anonymous one.
    pub dtagd_name: *mut c_char,
    /// The variable's number.
    pub dtagd_varid: dtrace_aggvarid_t,
    /// `DTRACE_AGD_` flags.
    pub dtagd_flags: c_int,
    /// Number.
    pub dtagd_id: dtrace_aggid_t,
    /// The enabled probe that aggregates.
    pub dtagd_epid: dtrace_epid_t,
    /// Bytes of the data.
    pub dtagd_size: u32,
    /// Number of records.
    pub dtagd_nrecs: c_int,
    /// Padding.
    pub dtagd_pad: u32,
    /// The records, relative to `dtada_data`.
    pub dtagd_rec: [dtrace_recdesc_t; 1],
}
layout!(dtrace_aggdesc_t, size 72, align 8, {
    dtagd_name @ 0, dtagd_varid @ 8, dtagd_flags @ 16, dtagd_id @ 20, dtagd_epid @ 24,
    dtagd_size @ 28, dtagd_nrecs @ 32, dtagd_pad @ 36, dtagd_rec @ 40,
});

/// A kernel module or another object. Strings live until `dtrace_update` or `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_objinfo_t {
    /// Name.
    pub dto_name: *const c_char,
    /// File, or NULL.
    pub dto_file: *const c_char,
    /// Number, or -1.
    pub dto_id: c_int,
    /// `DTRACE_OBJ_F_` flags.
    pub dto_flags: c_uint,
    /// Address of the code.
    pub dto_text_va: GElf_Addr,
    /// Bytes of the code.
    pub dto_text_size: u64,
    /// Address of the data.
    pub dto_data_va: GElf_Addr,
    /// Bytes of the data.
    pub dto_data_size: u64,
    /// Address of the zeroed data.
    pub dto_bss_va: GElf_Addr,
    /// Bytes of the zeroed data.
    pub dto_bss_size: u64,
}
layout!(dtrace_objinfo_t, size 72, align 8, {
    dto_name @ 0, dto_file @ 8, dto_id @ 16, dto_flags @ 20, dto_text_va @ 24,
    dto_text_size @ 32, dto_data_va @ 40, dto_data_size @ 48, dto_bss_va @ 56, dto_bss_size @ 64,
});

/// A symbol's names. Strings live until `dtrace_update` or `dtrace_close`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_syminfo_t {
    /// The object.
    pub dts_object: *const c_char,
    /// The symbol.
    pub dts_name: *const c_char,
    /// Its number.
    pub dts_id: c_ulong,
}
layout!(dtrace_syminfo_t, size 24, align 8, { dts_object @ 0, dts_name @ 8, dts_id @ 16 });

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
    /// 1 for a type of a user process.
    pub dtt_flags: c_uint,
}
layout!(dtrace_typeinfo_t, size 32, align 8, {
    dtt_object @ 0, dtt_ctfp @ 8, dtt_type @ 16, dtt_flags @ 24,
});

/// Type of `dtrace_update`: it does not report failures.
pub type dtrace_update_fn = unsafe extern "C" fn(dtp: *mut dtrace_hdl_t);
/// Type of `dtrace_go`: without flags.
pub type dtrace_go_fn = unsafe extern "C" fn(dtp: *mut dtrace_hdl_t) -> c_int;
/// Called for an event of a process that libdtrace controls, with a lock held, and only from `dtrace_sleep`.
pub type dtrace_handle_proc_f =
    unsafe extern "C" fn(proc_: *mut ps_prochandle, err: *const c_char, arg: *mut c_void);

/// Type of `dtrace_lookup_by_addr` on illumos and FreeBSD.
pub type dtrace_lookup_by_addr_simple_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    addr: GElf_Addr,
    symp: *mut Elf64_Sym,
    sip: *mut dtrace_syminfo_t,
) -> c_int;
/// Type of `dtrace_proc_create` on illumos and macOS: NULL on failure.
pub type dtrace_proc_create_simple_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    file: *const c_char,
    argv: *const *mut c_char,
) -> *mut ps_prochandle;

/// `GElf_Sym` of illumos and FreeBSD; that of macOS differs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Elf64_Sym {
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
layout!(Elf64_Sym, size 24, align 8, {
    st_name @ 0, st_info @ 4, st_other @ 5, st_shndx @ 6, st_value @ 8, st_size @ 16,
});

/// A probe's four names, each NUL-terminated. All zeros match everything.
///
/// `FUNCTION` is the length of the function's name, which is the only difference of FreeBSD.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_probedesc<const FUNCTION: usize> {
    /// Number.
    pub dtpd_id: dtrace_id_t,
    /// Provider.
    pub dtpd_provider: [c_char; DTRACE_PROVNAMELEN],
    /// Module.
    pub dtpd_mod: [c_char; DTRACE_MODNAMELEN],
    /// Function.
    pub dtpd_func: [c_char; FUNCTION],
    /// Name.
    pub dtpd_name: [c_char; DTRACE_NAMELEN],
}

/// One firing, as illumos and macOS declare it; FreeBSD's is longer. Valid only during the
/// callback.
///
/// `P` is the platform's `dtrace_probedesc_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_probedata<P> {
    /// The session.
    pub dtpda_handle: *mut dtrace_hdl_t,
    /// Its records.
    pub dtpda_edesc: *mut dtrace_eprobedesc_t,
    /// The probe.
    pub dtpda_pdesc: *mut P,
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
layout!(dtrace_probedata<u8>, size 64, align 8, {
    dtpda_handle @ 0, dtpda_edesc @ 8, dtpda_pdesc @ 16, dtpda_cpu @ 24, dtpda_data @ 32,
    dtpda_flow @ 40, dtpda_prefix @ 48, dtpda_indent @ 56,
});

/// A fault, as passed to the error handler. Valid only during the call. `P` is the platform's
/// `dtrace_probedesc_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_errdata<P> {
    /// Not filled in on every platform: do not read it.
    pub dteda_handle: *mut dtrace_hdl_t,
    /// The records of the enabled probe.
    pub dteda_edesc: *mut dtrace_eprobedesc_t,
    /// The probe.
    pub dteda_pdesc: *mut P,
    /// The CPU.
    pub dteda_cpu: processorid_t,
    /// The action's number in the clause; 0 is the predicate.
    pub dteda_action: c_int,
    /// Offset in the action's code.
    pub dteda_offset: c_int,
    /// `DTRACEFLT_`: what went wrong.
    pub dteda_fault: c_int,
    /// The address that caused the fault, if there is one.
    pub dteda_addr: u64,
    /// A message, with a newline.
    pub dteda_msg: *const c_char,
}
layout!(dtrace_errdata<u8>, size 56, align 8, {
    dteda_handle @ 0, dteda_edesc @ 8, dteda_pdesc @ 16, dteda_cpu @ 24, dteda_action @ 28,
    dteda_offset @ 32, dteda_fault @ 36, dteda_addr @ 40, dteda_msg @ 48,
});

/// One entry of an aggregation. Valid until the next snapshot, clear, removal, print or close. `P`
/// is the platform's `dtrace_probedesc_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_aggdata<P> {
    /// The session.
    pub dtada_handle: *mut dtrace_hdl_t,
    /// The aggregation.
    pub dtada_desc: *mut dtrace_aggdesc_t,
    /// The enabled probe.
    pub dtada_edesc: *mut dtrace_eprobedesc_t,
    /// The probe.
    pub dtada_pdesc: *mut P,
    /// The variable's number, keys and value.
    pub dtada_data: caddr_t,
    /// Divisor of `normalize()`; 1 for none. The value in memory is not divided.
    pub dtada_normal: u64,
    /// Bytes of the data.
    pub dtada_size: usize,
    /// What was added since the previous snapshot, if requested.
    pub dtada_delta: caddr_t,
    /// The value alone for each CPU, if requested.
    pub dtada_percpu: *mut caddr_t,
    /// What was added for each CPU, if requested.
    pub dtada_percpu_delta: *mut caddr_t,
    /// Sum over a distribution's buckets. From here on **absent in old libraries**.
    pub dtada_total: i64,
    /// The first bucket to show.
    pub dtada_minbin: u16,
    /// The last bucket to show.
    pub dtada_maxbin: u16,
    /// `DTRACE_A_` flags.
    pub dtada_flags: u32,
}
layout!(dtrace_aggdata<u8>, size 96, align 8, {
    dtada_handle @ 0, dtada_desc @ 8, dtada_edesc @ 16, dtada_pdesc @ 24, dtada_data @ 32,
    dtada_normal @ 40, dtada_size @ 48, dtada_delta @ 56, dtada_percpu @ 64,
    dtada_percpu_delta @ 72, dtada_total @ 80, dtada_minbin @ 88, dtada_maxbin @ 90,
    dtada_flags @ 92,
});

/// Functions to use in place of the kernel's, for `dtrace_vopen`. `R` is the type of an `ioctl`
/// request and `S` the platform's `GElf_Sym`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_vector<R, S> {
    /// Instead of `ioctl`.
    pub dtv_ioctl: Option<unsafe extern "C" fn(*mut c_void, R, *mut c_void) -> c_int>,
    /// Instead of the kernel's symbol table.
    pub dtv_lookup_by_addr: Option<
        unsafe extern "C" fn(*mut c_void, GElf_Addr, *mut S, *mut dtrace_syminfo_t) -> c_int,
    >,
    /// Instead of checking whether a CPU exists.
    pub dtv_status: Option<unsafe extern "C" fn(*mut c_void, processorid_t) -> c_int>,
    /// Instead of `sysconf`.
    pub dtv_sysconf: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_long>,
}
layout!(dtrace_vector<c_int, u8>, size 32, align 8, {
    dtv_ioctl @ 0, dtv_lookup_by_addr @ 8, dtv_status @ 16, dtv_sysconf @ 24,
});

/// Defines the generic structures' C names for a platform's probe description, symbol, and type of an `ioctl`
/// request.
macro_rules! sun_names {
    (request: $request:ty) => {
        /// A fault, as passed to the error handler.
        pub type dtrace_errdata_t = crate::platform::sun::dtrace_errdata<dtrace_probedesc_t>;
        /// One entry of an aggregation.
        pub type dtrace_aggdata_t = crate::platform::sun::dtrace_aggdata<dtrace_probedesc_t>;
        /// The start of a clause's description.
        pub type dtrace_ecbdesc_t = crate::platform::sun::dtrace_ecbdesc<dtrace_probedesc_t>;
        /// A statement of a program.
        pub type dtrace_stmtdesc_t = crate::platform::sun::dtrace_stmtdesc<dtrace_probedesc_t>;
        /// Functions to use in place of the kernel's, for `dtrace_vopen`.
        pub type dtrace_vector_t = crate::platform::sun::dtrace_vector<$request, GElf_Sym>;
    };
}
pub(crate) use sun_names;
