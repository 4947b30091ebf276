//! What is the same in every libdtrace: which declarations need no platform?
//!
//! Only what was found equal in value, type and layout on Linux, illumos, FreeBSD and macOS stands
//! here. Everything is re-exported by each platform's module, so take it from [`crate::abi`].
//!
//! Where the C declaration is the same text over structures that differ, the macro
//! `declarations_over_platform_types` repeats the text in each platform's module.

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

/// Declares types that C code only ever hands out pointers to.
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
    /// A session with libdtrace, made by `dtrace_open` and freed by `dtrace_close`.
    ///
    /// Nothing in it is locked: one thread at a time may use it, but any thread may.
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
/// Gets a member of a structure or union: its name, type and offset in bits.
pub type ctf_member_f = unsafe extern "C" fn(
    *const c_char,
    ctf_id_t,
    core::ffi::c_ulong,
    *mut core::ffi::c_void,
) -> c_int;
/// Gets a constant of an enumeration: its name and value.
pub type ctf_enum_f = unsafe extern "C" fn(*const c_char, c_int, *mut core::ffi::c_void) -> c_int;
/// How an integer, a floating type or a bit field is laid out, as libctf says.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ctf_encoding_t {
    /// `CTF_INT_` flags of an integer.
    pub cte_format: u32,
    /// Where the value begins in its storage, in bits.
    pub cte_offset: u32,
    /// How many bits it has.
    pub cte_bits: u32,
}
layout!(ctf_encoding_t, size 12, align 4, { cte_format @ 0, cte_offset @ 4, cte_bits @ 8 });

/// An integer: one of the kinds that `ctf_type_kind` tells.
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
/// A type that is declared and not defined.
pub const CTF_K_FORWARD: c_int = 9;
/// The flag of a signed integer in [`ctf_encoding_t::cte_format`].
pub const CTF_INT_SIGNED: u32 = 1;

/// An address in an ELF file (`GElf_Addr`).
pub type GElf_Addr = u64;
/// A probe's number.
pub type dtrace_id_t = u32;
/// What a record holds: one of the `DTRACEACT_` or `DTRACEAGG_` constants.
pub type dtrace_actkind_t = u16;
/// How stable an interface is: one of the `DTRACE_STABILITY_` constants.
pub type dtrace_stability_t = u8;
/// On what an interface depends: one of the `DTRACE_CLASS_` constants.
pub type dtrace_class_t = u8;
/// How a probe description in a string is to be read: one of the `DTRACE_PROBESPEC_` constants.
pub type dtrace_probespec_t = c_int;
/// What `dtrace_work` returns: one of the `DTRACE_WORKSTATUS_` constants.
pub type dtrace_workstatus_t = c_int;
/// Flow indentation of a firing: one of the `DTRACEFLOW_` constants.
pub type dtrace_flowkind_t = c_int;
/// What was lost: one of the `DTRACEDROP_` constants.
pub type dtrace_dropkind_t = c_int;

/// The interface version to give to `dtrace_open`. All libraries say 3, whatever their layouts are:
/// it tells nothing about the ABI.
pub const DTRACE_VERSION: c_int = 3;

/// Compile: print the intermediate code of each clause.
pub const DTRACE_C_DIFV: c_uint = 0x0001;
/// Compile: an empty program is no error.
pub const DTRACE_C_EMPTY: c_uint = 0x0002;
/// Compile: a clause whose description matches no probe is no error.
pub const DTRACE_C_ZDEFS: c_uint = 0x0004;
/// Compile: a program less stable than the option `amin` is an error.
pub const DTRACE_C_EATTR: c_uint = 0x0008;
/// Compile: run the C preprocessor first (a process of its own).
pub const DTRACE_C_CPP: c_uint = 0x0010;
/// Compile: unknown kernel symbols are no error.
pub const DTRACE_C_KNODEF: c_uint = 0x0020;
/// Compile: unknown user symbols are no error.
pub const DTRACE_C_UNODEF: c_uint = 0x0040;
/// Compile: read an ambiguous specifier as a probe's name.
pub const DTRACE_C_PSPEC: c_uint = 0x0080;
/// Compile: put the error's tag in front of messages, such as `[D_SYNTAX]`.
pub const DTRACE_C_ETAGS: c_uint = 0x0100;
/// Compile: macro arguments that the program does not use are no error.
pub const DTRACE_C_ARGREF: c_uint = 0x0200;
/// Compile: a missing macro argument is 0 or an empty string.
pub const DTRACE_C_DEFARG: c_uint = 0x0800;
/// Compile: leave out the D libraries. **On Linux the process aborts** on an assertion.
pub const DTRACE_C_NOLIBS: c_uint = 0x1000;
/// Compile: process control directives (`#pragma`) only.
pub const DTRACE_C_CTL: c_uint = 0x2000;

/// `dtrace_dof_create`: leave out what need not be loaded.
pub const DTRACE_D_STRIP: c_uint = 0x01;
/// `dtrace_dof_create`: include definitions of providers and probes.
pub const DTRACE_D_PROBES: c_uint = 0x02;

/// The string describes no probe.
pub const DTRACE_PROBESPEC_NONE: dtrace_probespec_t = -1;
/// A single word is a provider.
pub const DTRACE_PROBESPEC_PROVIDER: dtrace_probespec_t = 0;
/// A single word is a module.
pub const DTRACE_PROBESPEC_MOD: dtrace_probespec_t = 1;
/// A single word is a function.
pub const DTRACE_PROBESPEC_FUNC: dtrace_probespec_t = 2;
/// A single word is a probe's name, as in a D program.
pub const DTRACE_PROBESPEC_NAME: dtrace_probespec_t = 3;

/// A consume callback met an error. `DTRACE_CONSUME_ABORT` is a platform's own number.
pub const DTRACE_CONSUME_ERROR: c_int = -1;
/// From a probe callback: deliver the records. From a record callback: the library prints this one.
pub const DTRACE_CONSUME_THIS: c_int = 0;
/// From a probe callback: skip the records. From a record callback: print nothing for this one.
pub const DTRACE_CONSUME_NEXT: c_int = 1;

/// An aggregation callback met an error.
pub const DTRACE_AGGWALK_ERROR: c_int = -1;
/// Go on with the next entry.
pub const DTRACE_AGGWALK_NEXT: c_int = 0;
/// End the walk. The numbers of the other answers are a platform's own.
pub const DTRACE_AGGWALK_ABORT: c_int = 1;

/// `dtrace_work` failed; `dtrace_errno` says why. On Linux EINTR is no failure of the session.
pub const DTRACE_WORKSTATUS_ERROR: dtrace_workstatus_t = -1;
/// `dtrace_work` did its work; tracing goes on.
pub const DTRACE_WORKSTATUS_OKAY: dtrace_workstatus_t = 0;
/// Tracing has ended and all data were delivered.
pub const DTRACE_WORKSTATUS_DONE: dtrace_workstatus_t = 1;

/// It is not time for a status yet (option `statusrate`).
pub const DTRACE_STATUS_NONE: c_int = 0;
/// Tracing goes on.
pub const DTRACE_STATUS_OKAY: c_int = 1;
/// The program called `exit()`.
pub const DTRACE_STATUS_EXITED: c_int = 2;
/// A buffer with the policy `fill` is full.
pub const DTRACE_STATUS_FILLED: c_int = 3;
/// Tracing was stopped before.
pub const DTRACE_STATUS_STOPPED: c_int = 4;

/// A handler wants the current operation to end. Never from a buffered handler on Linux: a lock
/// stays held and the next print waits for ever.
pub const DTRACE_HANDLE_ABORT: c_int = -1;
/// A handler is content; go on.
pub const DTRACE_HANDLE_OK: c_int = 0;

/// The firing enters a function.
pub const DTRACEFLOW_ENTRY: dtrace_flowkind_t = 0;
/// The firing returns from a function.
pub const DTRACEFLOW_RETURN: dtrace_flowkind_t = 1;
/// Neither. The flow is only filled in when option `flowindent` is set.
pub const DTRACEFLOW_NONE: dtrace_flowkind_t = 2;

/// Lost: a record of the principal buffer.
pub const DTRACEDROP_PRINCIPAL: dtrace_dropkind_t = 0;
/// Lost: an aggregation's data.
pub const DTRACEDROP_AGGREGATION: dtrace_dropkind_t = 1;
/// Lost: a dynamic variable.
pub const DTRACEDROP_DYNAMIC: dtrace_dropkind_t = 2;
/// Lost: a dynamic variable while others were being cleaned (rinsing).
pub const DTRACEDROP_DYNRINSE: dtrace_dropkind_t = 3;
/// Lost: a dynamic variable while others waited for cleaning (dirty).
pub const DTRACEDROP_DYNDIRTY: dtrace_dropkind_t = 4;
/// Lost: a speculation.
pub const DTRACEDROP_SPEC: dtrace_dropkind_t = 5;
/// Lost: a speculation, because one was being committed or discarded.
pub const DTRACEDROP_SPECBUSY: dtrace_dropkind_t = 6;
/// Lost: a speculation, because there was no buffer.
pub const DTRACEDROP_SPECUNAVAIL: dtrace_dropkind_t = 7;
/// Lost: strings of a stack.
pub const DTRACEDROP_STKSTROVERFLOW: dtrace_dropkind_t = 8;
/// An error inside an ERROR clause.
pub const DTRACEDROP_DBLERROR: dtrace_dropkind_t = 9;

/// Buffered text belongs to an aggregation's key.
pub const DTRACE_BUFDATA_AGGKEY: u32 = 0x0001;
/// Buffered text belongs to an aggregation's value.
pub const DTRACE_BUFDATA_AGGVAL: u32 = 0x0002;
/// Buffered text comes from a format (`printa`).
pub const DTRACE_BUFDATA_AGGFORMAT: u32 = 0x0004;
/// Buffered text is the last one of this key and value.
pub const DTRACE_BUFDATA_AGGLAST: u32 = 0x0008;

/// The aggregation has values per CPU. Flag 8 differs between platforms.
pub const DTRACE_A_PERCPU: u32 = 0x0001;
/// Keep the delta since the previous snapshot.
pub const DTRACE_A_KEEPDELTA: u32 = 0x0002;
/// The aggregation has no name.
pub const DTRACE_A_ANONYMOUS: u32 = 0x0004;
/// The program prints this aggregation itself (flag of an aggregation's description).
pub const DTRACE_AGD_PRINTED: c_int = 0x1;

/// The handle's lookup scope: the traced program's executable (a pseudo pointer, never followed).
pub const DTRACE_OBJ_EXEC: *const c_char = core::ptr::without_provenance(0);
/// The handle's lookup scope: all objects.
pub const DTRACE_OBJ_EVERY: *const c_char = core::ptr::without_provenance(usize::MAX);
/// The handle's lookup scope: the kernel and its modules.
pub const DTRACE_OBJ_KMODS: *const c_char = core::ptr::without_provenance(usize::MAX - 1);
/// The handle's lookup scope: objects of user processes.
pub const DTRACE_OBJ_UMODS: *const c_char = core::ptr::without_provenance(usize::MAX - 2);

/// Smallest buffer for `dtrace_desc2str`, bytes.
pub const DTRACE_DESC2STR_MAX: usize = 1024;
/// Smallest buffer for `dtrace_attr2str`, bytes.
pub const DTRACE_ATTR2STR_MAX: usize = 64;
/// Bytes of a provider's name with its NUL.
pub const DTRACE_PROVNAMELEN: usize = 64;
/// Bytes of a module's name with its NUL.
pub const DTRACE_MODNAMELEN: usize = 64;
/// Bytes of a probe's name with its NUL. The function's length is a platform's own.
pub const DTRACE_NAMELEN: usize = 64;
/// Bytes of an argument's type with its NUL.
pub const DTRACE_ARGTYPELEN: usize = 128;

/// Fault: unknown.
pub const DTRACEFLT_UNKNOWN: c_int = 0;
/// Fault: bad address.
pub const DTRACEFLT_BADADDR: c_int = 1;
/// Fault: bad alignment.
pub const DTRACEFLT_BADALIGN: c_int = 2;
/// Fault: illegal operation.
pub const DTRACEFLT_ILLOP: c_int = 3;
/// Fault: division by zero.
pub const DTRACEFLT_DIVZERO: c_int = 4;
/// Fault: out of scratch space.
pub const DTRACEFLT_NOSCRATCH: c_int = 5;
/// Fault: kernel access without the privilege.
pub const DTRACEFLT_KPRIV: c_int = 6;
/// Fault: access to a user process without the privilege.
pub const DTRACEFLT_UPRIV: c_int = 7;
/// Fault: a tuple is too large.
pub const DTRACEFLT_TUPOFLOW: c_int = 8;
/// Fault: bad stack.
pub const DTRACEFLT_BADSTACK: c_int = 9;
/// Fault: raised by libdtrace itself and not by a probe.
pub const DTRACEFLT_LIBRARY: c_int = 1000;

/// First of libdtrace's own error numbers. Below it they are `errno` values. The numbers from here
/// on differ between platforms: keep them opaque and take the text with `dtrace_errmsg`.
pub const EDT_BASE: c_int = 1000;

mod actions;
mod options;
pub use actions::*;
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

/// What `dtrace_program_info` and `dtrace_program_exec` tell about a program.
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

/// A probe's argument as the kernel side describes it. Linux's `dtrace.h` does not include it.
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
    /// The translated type's name, NUL-terminated; empty when nothing translates it.
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

/// The declarations whose C text is the same everywhere, over types of the platform that are not.
///
/// Expects in scope: `processorid_t`, `dtrace_optval_t`, `dtrace_probedesc_t`,
/// `dtrace_probedata_t`, `dtrace_recdesc_t`, `dtrace_aggdata_t`, `dtrace_stmtdesc_t`,
/// `dtrace_objinfo_t`, `dtrace_typeinfo_t`, `dtrace_errdata_t`.
macro_rules! declarations_over_platform_types {
    () => {
        /// What `dtrace_probe_info` tells about a probe.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_probeinfo_t {
            /// Stability of the probe's name.
            pub dtp_attr: dtrace_attribute_t,
            /// Stability of its arguments.
            pub dtp_arga: dtrace_attribute_t,
            /// Types of its arguments: `dtp_argc` entries.
            pub dtp_argv: *const dtrace_typeinfo_t,
            /// Number of arguments.
            pub dtp_argc: c_int,
        }
        layout!(dtrace_probeinfo_t, size 24, align 8, {
            dtp_attr @ 0, dtp_arga @ 3, dtp_argv @ 8, dtp_argc @ 16,
        });

        /// What was lost, as given to the drop handler. Valid only during the call.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_dropdata_t {
            /// The session.
            pub dtdda_handle: *mut dtrace_hdl_t,
            /// The CPU, or all bits set when it is no particular one.
            pub dtdda_cpu: processorid_t,
            /// What was lost.
            pub dtdda_kind: dtrace_dropkind_t,
            /// How many since the previous report.
            pub dtdda_drops: u64,
            /// How many in all.
            pub dtdda_total: u64,
            /// A message. It ends with a newline except on Linux.
            pub dtdda_msg: *const c_char,
        }
        layout!(dtrace_dropdata_t, size 40, align 8, {
            dtdda_handle @ 0, dtdda_cpu @ 8, dtdda_kind @ 12, dtdda_drops @ 16, dtdda_total @ 24,
            dtdda_msg @ 32,
        });

        /// Text for the buffered handler. Valid only during the call.
        ///
        /// On Linux the handler never gets the text of probe records, only of aggregations: give
        /// the library a `FILE` instead.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_bufdata_t {
            /// The session.
            pub dtbda_handle: *mut dtrace_hdl_t,
            /// The text.
            pub dtbda_buffered: *const c_char,
            /// The firing that it comes from; NULL for aggregations.
            pub dtbda_probe: *mut dtrace_probedata_t,
            /// The record that it comes from.
            pub dtbda_recdesc: *const dtrace_recdesc_t,
            /// The aggregation that it comes from; NULL for firings.
            pub dtbda_aggdata: *const dtrace_aggdata_t,
            /// `DTRACE_BUFDATA_` flags.
            pub dtbda_flags: u32,
        }
        layout!(dtrace_bufdata_t, size 48, align 8, {
            dtbda_handle @ 0, dtbda_buffered @ 8, dtbda_probe @ 16, dtbda_recdesc @ 24,
            dtbda_aggdata @ 32, dtbda_flags @ 40,
        });

        /// An option that the D program set. Valid only during the call.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_setoptdata_t {
            /// The session.
            pub dtsda_handle: *mut dtrace_hdl_t,
            /// The firing that set it.
            pub dtsda_probe: *const dtrace_probedata_t,
            /// The option's name.
            pub dtsda_option: *const c_char,
            /// Its value before.
            pub dtsda_oldval: dtrace_optval_t,
            /// Its value from now on.
            pub dtsda_newval: dtrace_optval_t,
        }
        layout!(dtrace_setoptdata_t, size 40, align 8, {
            dtsda_handle @ 0, dtsda_probe @ 8, dtsda_option @ 16, dtsda_oldval @ 24,
            dtsda_newval @ 32,
        });

        /// "chew": called once for each firing of a clause. Answers `DTRACE_CONSUME_`; must not
        /// unwind.
        pub type dtrace_consume_probe_f =
            unsafe extern "C" fn(data: *const dtrace_probedata_t, arg: *mut c_void) -> c_int;
        /// "chewrec": called for each record of a firing, then once with a NULL record, whose
        /// answer is ignored. Answers `DTRACE_CONSUME_`; must not unwind.
        pub type dtrace_consume_rec_f = unsafe extern "C" fn(
            data: *const dtrace_probedata_t,
            rec: *const dtrace_recdesc_t,
            arg: *mut c_void,
        ) -> c_int;
        /// Called for each statement of a program; anything but 0 ends the iteration.
        pub type dtrace_stmt_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            sdp: *mut dtrace_stmtdesc_t,
            data: *mut c_void,
        ) -> c_int;
        /// Called for each probe; anything but 0 ends the iteration. The description's strings
        /// belong to the library.
        pub type dtrace_probe_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            pdp: *const dtrace_probedesc_t,
            arg: *mut c_void,
        ) -> c_int;
        /// Called for each object (kernel module); anything but 0 ends the iteration.
        pub type dtrace_obj_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            object: *const dtrace_objinfo_t,
            data: *mut c_void,
        ) -> c_int;
        /// Called when a probe faulted. Answers `DTRACE_HANDLE_`; must not unwind.
        pub type dtrace_handle_err_f =
            unsafe extern "C" fn(err: *const dtrace_errdata_t, arg: *mut c_void) -> c_int;
        /// Called when data were lost. Answers `DTRACE_HANDLE_`; must not unwind.
        pub type dtrace_handle_drop_f =
            unsafe extern "C" fn(drop: *const dtrace_dropdata_t, arg: *mut c_void) -> c_int;
        /// Called with text when the library was given no `FILE`. Answers `DTRACE_HANDLE_`, on
        /// Linux `DTRACE_HANDLE_OK` only: anything else leaves a lock held. It must not call
        /// anything that prints.
        pub type dtrace_handle_buffered_f =
            unsafe extern "C" fn(data: *const dtrace_bufdata_t, arg: *mut c_void) -> c_int;
        /// Called when the D program set an option. Answers `DTRACE_HANDLE_`.
        pub type dtrace_handle_setopt_f =
            unsafe extern "C" fn(data: *const dtrace_setoptdata_t, arg: *mut c_void) -> c_int;
        /// Called for each entry of the aggregations. Answers `DTRACE_AGGWALK_`; may not take a
        /// snapshot, clear or print.
        pub type dtrace_aggregate_f =
            unsafe extern "C" fn(agg: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int;
        /// One of the walk functions themselves, as `dtrace_aggregate_print` takes it.
        pub type dtrace_aggregate_walk_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void,
        ) -> c_int;
        /// Called with the entries of several aggregations that have the same key.
        pub type dtrace_aggregate_walk_joined_f = unsafe extern "C" fn(
            aggs: *mut *const dtrace_aggdata_t,
            naggs: c_int,
            arg: *mut c_void,
        ) -> c_int;
        /// Formats records into a file: the type of `dtrace_fprintf` and its relatives.
        pub type dtrace_printer = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            fmtdata: *mut c_void,
            data: *const dtrace_probedata_t,
            recs: *const dtrace_recdesc_t,
            nrecs: c_uint,
            buf: *const c_void,
            len: usize,
        ) -> c_int;
    };
}
pub(crate) use declarations_over_platform_types;
