//! Declarations that are the same in every libdtrace.
//!
//! This module contains only what has the same value, type and layout on Linux, illumos, FreeBSD and macOS.
//! Each platform's module re-exports it, so use it from [`crate::abi`].
//!
//! Some C declarations have the same text, but over structures that differ. The macro
//! `declarations_over_platform_types` repeats that text in each platform's module.

use core::ffi::{c_char, c_int, c_uint};

/// Checks at compile time that a structure has the C library's size, alignment and field offsets.
macro_rules! layout {
    (
        $type:ty, size $size:literal, align $align:literal,
        { $($field:ident @ $offset:literal),* $(,)? }
    ) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            assert!(align_of::<$type>() == $align);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };
    };
}
pub(crate) use layout;

/// Declares types that are used only through pointers.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            _data: [u8; 0],
            _not_send_sync_unpin: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }
    )*};
}
pub(crate) use opaque;

opaque! {
    /// A session with libdtrace, created by `dtrace_open` and freed by `dtrace_close`.
    ///
    /// It has no locks: only one thread at a time may use it, but any thread may.
    dtrace_hdl_t;
    /// A compiled D program. Its handle owns it and frees it in `dtrace_close`.
    dtrace_prog_t;
    /// A CTF container (libctf's `ctf_file_t`; `ctf_dict_t` in binutils).
    ctf_file_t;
}

pub use libc::{FILE, pid_t};

/// C's `caddr_t`: the address of raw bytes.
pub type caddr_t = *mut c_char;
/// libctf's identifier of a type inside one container.
pub type ctf_id_t = core::ffi::c_long;
/// Receives a member of a structure or union: its name, type and offset in bits.
pub type ctf_member_f = unsafe extern "C" fn(
    *const c_char,
    ctf_id_t,
    core::ffi::c_ulong,
    *mut core::ffi::c_void,
) -> c_int;
/// Receives a constant of an enumeration: its name and value.
pub type ctf_enum_f = unsafe extern "C" fn(*const c_char, c_int, *mut core::ffi::c_void) -> c_int;
/// The layout of an integer, a floating type or a bit field, according to libctf.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ctf_encoding_t {
    /// `CTF_INT_` flags of an integer.
    pub cte_format: u32,
    /// Where the value starts in its storage, in bits.
    pub cte_offset: u32,
    /// Its size in bits.
    pub cte_bits: u32,
}
layout!(ctf_encoding_t, size 12, align 4, { cte_format @ 0, cte_offset @ 4, cte_bits @ 8 });

/// An integer: one of the kinds that `ctf_type_kind` returns.
pub const CTF_K_INTEGER: c_int = 1;
/// A floating type.
pub const CTF_K_FLOAT: c_int = 2;
/// A pointer.
pub const CTF_K_POINTER: c_int = 3;
/// An array.
pub const CTF_K_ARRAY: c_int = 4;
/// A function.
pub const CTF_K_FUNCTION: c_int = 5;
/// A structure.
pub const CTF_K_STRUCT: c_int = 6;
/// A union.
pub const CTF_K_UNION: c_int = 7;
/// An enumeration.
pub const CTF_K_ENUM: c_int = 8;
/// A type that is declared but not defined.
pub const CTF_K_FORWARD: c_int = 9;
/// The flag of a signed integer in [`ctf_encoding_t::cte_format`].
pub const CTF_INT_SIGNED: u32 = 1;

/// An address in an ELF file (`GElf_Addr`).
pub type GElf_Addr = u64;
/// A probe's number.
pub type dtrace_id_t = u32;
/// The content of a record: one of the `DTRACEACT_` or `DTRACEAGG_` constants.
pub type dtrace_actkind_t = u16;
/// How stable an interface is: one of the `DTRACE_STABILITY_` constants.
pub type dtrace_stability_t = u8;
/// What an interface depends on: one of the `DTRACE_CLASS_` constants.
pub type dtrace_class_t = u8;
/// How to parse a probe description: one of the `DTRACE_PROBESPEC_` constants.
pub type dtrace_probespec_t = c_int;
/// The result of `dtrace_work`: one of the `DTRACE_WORKSTATUS_` constants.
pub type dtrace_workstatus_t = c_int;
/// Flow indentation of a firing: one of the `DTRACEFLOW_` constants.
pub type dtrace_flowkind_t = c_int;
/// The kind of lost data: one of the `DTRACEDROP_` constants.
pub type dtrace_dropkind_t = c_int;

mod actions;
mod constants;
mod declarations;
mod options;
pub use actions::*;
pub use constants::*;
pub(crate) use declarations::declarations_over_platform_types;
pub use options::*;

/// How stable a probe, an argument or a program is. **Passed by value** to `dtrace_attr2str`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct dtrace_attribute_t {
    /// Stability of the name.
    pub dtat_name: dtrace_stability_t,
    /// Stability of the data.
    pub dtat_data: dtrace_stability_t,
    /// What the data depend on.
    pub dtat_class: dtrace_class_t,
}
layout!(dtrace_attribute_t, size 3, align 1, { dtat_name @ 0, dtat_data @ 1, dtat_class @ 2 });

/// Information from `dtrace_program_info` and `dtrace_program_exec` about a program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct dtrace_proginfo_t {
    /// Least stability of its probe descriptions.
    pub dpi_descattr: dtrace_attribute_t,
    /// Least stability of its statements.
    pub dpi_stmtattr: dtrace_attribute_t,
    /// Aggregations in it. Always 0 on Linux.
    pub dpi_aggregates: c_uint,
    /// Clauses that record data.
    pub dpi_recgens: c_uint,
    /// Probes that it matches.
    pub dpi_matches: c_uint,
    /// Speculations in it. Always 0 on Linux.
    pub dpi_speculations: c_uint,
}
layout!(dtrace_proginfo_t, size 24, align 4, {
    dpi_descattr @ 0, dpi_stmtattr @ 3, dpi_aggregates @ 8, dpi_recgens @ 12,
    dpi_matches @ 16, dpi_speculations @ 20,
});

/// A probe's argument, as the kernel side describes it. Linux's `dtrace.h` does not include it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_argdesc_t {
    /// The probe.
    pub dtargd_id: dtrace_id_t,
    /// The argument's number, or -1.
    pub dtargd_ndx: c_int,
    /// The native argument that it comes from.
    pub dtargd_mapping: c_int,
    /// The native type's name, NUL-terminated.
    pub dtargd_native: [c_char; DTRACE_ARGTYPELEN],
    /// The translated type's name, NUL-terminated; empty if there is no translation.
    pub dtargd_xlate: [c_char; DTRACE_ARGTYPELEN],
}
layout!(dtrace_argdesc_t, size 268, align 4, {
    dtargd_id @ 0, dtargd_ndx @ 4, dtargd_mapping @ 8, dtargd_native @ 12, dtargd_xlate @ 140,
});

/// A format string as the kernel side describes it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_fmtdesc_t {
    /// The string.
    pub dtfd_string: *mut c_char,
    /// Its length in bytes.
    pub dtfd_length: c_int,
    /// Its number.
    pub dtfd_format: u16,
}
layout!(dtrace_fmtdesc_t, size 16, align 8, { dtfd_string @ 0, dtfd_length @ 8, dtfd_format @ 12 });
